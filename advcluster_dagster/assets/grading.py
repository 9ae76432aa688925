"""Steps of grading (paper section 3.2.1, the indicator c): graded trials, the judge panel, disagreements."""

from dataclasses import asdict
from typing import Any

import polars as pl

from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED, JUDGE_USABLE
from advcluster_dagster.assets.grading_checks import answers_found, credible_accuracy, few_contradictions
from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.vocabularies import UNDECIDED_VERDICTS
from advcluster_dagster.ledger.validated import Validated
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.estimates import assumed_questions, estimate_assumed
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.sandbox.pool import SandboxError
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.science.grading.equivalence import (
    EquivalenceReply,
    equivalence_messages,
    parse_equivalence_reply,
)
from advcluster_dagster.science.grading.grade import grade_in_batches
from advcluster_dagster.science.grading.judge_agreement import panel_agreements, panel_votes
from advcluster_dagster.science.grading.panel import (
    count_votes,
    decide_by_panel,
    measure_agreement,
    panel_pairs,
)
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.study.grading import judge_names
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_GROUP = "grading"
#: Maximum number of repeats after an invalid reply of a panel member.
_MAX_REPEATS = 2
#: Assumption of a dry run: the share of trials whose answer no rule decides.
_ASSUMED_UNDECIDED_SHARE = 0.01


def _share_check(name: str, verdict: pl.Expr, *, description: str, bound: str, is_blocking: bool) -> Check:
    def judge(_step: Step, graded: pl.LazyFrame, bound: float) -> Outcome:
        shares = graded.group_by("role").agg(verdict.mean().alias("share")).sort("role").collect()
        largest = max(shares["share"], default=0.0)
        return Outcome(largest <= bound, {**dict(shares.iter_rows()), "bound": bound})

    return Check(name, description, judge, is_blocking, bound)


def _complete_trials(step: Step, graded: pl.LazyFrame, bound: float) -> Outcome:
    n_wanted = step.read_partition("benchmark_questions", must_exist=True).height * step.study.trials * len(ROLES)
    n_missing = n_wanted - graded.select(pl.len()).collect().item()
    share = n_missing / n_wanted if n_wanted else 0.0
    return Outcome(share <= bound, {"n_missing": n_missing, "n_wanted": n_wanted, "share": share, "bound": bound})


def _answer_places(study: Study, domain: str) -> dict[str, AnswerPlace]:
    """Return where to find the answer in a response, by benchmark of the domain."""
    benchmarks = {name: study.benchmark(name) for name in study.domains[domain]}
    return {
        name: AnswerPlace(benchmark.answer_marker, benchmark.answer_field, benchmark.whole_response)
        for name, benchmark in benchmarks.items()
    }


def _settings(study: Study, partition: Partition) -> dict[str, Any]:
    """Return the settings that verdicts depend on; the number of workers is not among them."""
    grading, judges = study.grading, judge_names(study.grading.panel)
    return {
        "places": {name: asdict(place) for name, place in _answer_places(study, partition.domain or "").items()},
        "timeouts": [grading.math_timeout_s, grading.program_timeout_s],
        "panel": [[model.request_identity for model in grading.panel], grading.n_agreement_pairs, study.seed, *judges]
        if grading.panel
        else None,
    }


@table_step(
    _GROUP,
    tables=("graded_trials", "grading_panel", "panel_votes", "panel_agreements"),
    settings=_settings,
    prompts=("equivalence",),
    checks={
        "graded_trials": (
            Check(
                "trials_complete",
                description="Every question has T trials of both models.",
                judge=_complete_trials,
                bound="max_missing_trial_share",
            ),
            _share_check(
                "ungraded_share",
                pl.col("is_correct").is_null(),
                description="Few trials could not be graded; more would bias the pass rates.",
                bound="max_ungraded_share",
                is_blocking=True,
            ),
            Check(
                "no_answer_share_by_benchmark",
                description="Each model's responses on each benchmark hold an answer where the study expects it.",
                judge=answers_found,
                is_blocking=True,
                bound="max_no_answer_share_by_benchmark",
            ),
            Check(
                "contradiction_share_by_benchmark",
                description="No model has nearly all answers graded wrong on a benchmark where the verdicts imported"
                " with its traces say otherwise.",
                judge=credible_accuracy,
                is_blocking=True,
                bound="max_contradiction_share_by_benchmark",
            ),
            Check(
                "contradiction_share",
                description="Few verdicts contradict those imported with the traces.",
                judge=few_contradictions,
                bound="max_contradiction_share",
            ),
            _share_check(
                "no_answer_share",
                pl.col("verdict") == "no_answer",
                description="Few responses lack an answer.",
                bound="max_no_answer_share",
                is_blocking=False,
            ),
            _share_check(
                "truncated_share",
                pl.col("verdict") == "truncated",
                description="Few responses were cut off at the token limit.",
                bound="max_truncated_share",
                is_blocking=False,
            ),
        ),
        "grading_panel": (CALLS_ANSWERED, JUDGE_USABLE),
    },
    estimate=lambda step: _estimate(step),
)
def graded_trials(
    step: Step, larger_traces: pl.LazyFrame, smaller_traces: pl.LazyFrame, benchmark_questions: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Every trial of both models with its verdict, and the votes of the judge panel, if any."""
    graded = _graded_by_rules(step, {"larger": larger_traces, "smaller": smaller_traces}, benchmark_questions)
    panel, votes = _panel_and_votes(step, graded, benchmark_questions)
    graded = decide_by_panel(graded, panel)
    step.facts["verdicts"] = dict(graded["verdict"].value_counts(sort=True).iter_rows())
    return {
        "graded_trials": graded.sort("benchmark", "question_id", "role", "trial"),
        "grading_panel": panel,
        "panel_votes": votes,
        "panel_agreements": panel_agreements(votes, judge_names(step.study.grading.panel), graded),
    }


def _graded_by_rules(step: Step, traces: dict[str, pl.LazyFrame], questions: pl.DataFrame) -> pl.DataFrame:
    settings, places = step.study.grading, _answer_places(step.study, step.domain)
    try:
        with Deciders(
            settings.n_workers, math_cpu_s=settings.math_timeout_s, program_cpu_s=settings.program_timeout_s
        ) as deciders:
            graded = grade_in_batches(traces, questions, places, deciders.decide_many)
    except (ValueError, SandboxError) as error:
        raise StepError(str(error)) from None
    step.facts.update(deciders.facts)
    return graded


def _panel_and_votes(step: Step, graded: pl.DataFrame, questions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask the panel; return rows of ``grading_panel`` and ``panel_votes``, empty without a panel."""
    models, n_agreement_pairs = step.study.grading.panel, step.study.grading.n_agreement_pairs
    pairs = panel_pairs(graded, questions, n_agreement_pairs, step.study.seed, step.family)
    if not models:
        return count_votes(pairs.clear(), []), panel_votes(pairs.clear(), {})
    votes = [_votes(step, model, pairs) for model in models]
    panel = count_votes(pairs, votes)
    is_open = pl.col("symbolic_verdict").is_in(UNDECIDED_VERDICTS)
    step.facts["panel"] = {
        "n_undecided_by_rules": panel.filter(is_open).height,
        "n_decided_by_panel": panel.filter(is_open, pl.col("is_same").is_not_null()).height,
        "agreement_with_rules": asdict(measure_agreement(panel)),
    }
    return panel, panel_votes(pairs, dict(zip(judge_names(models), votes, strict=True)))


def _votes(step: Step, model: Model, pairs: pl.DataFrame) -> list[bool | None]:
    """Return one member's vote on each pair; None where the reply is unusable."""
    prompt = load_prompt("equivalence")
    rows = pairs.select("prompt", "answer", "prediction").iter_rows()
    messages = [equivalence_messages(prompt, *row) for row in rows]
    requests = step.models.chat(model, messages, schema=wire_schema(EquivalenceReply))
    results = step.models.ask(model, requests, parse_equivalence_reply, _MAX_REPEATS)
    return [result.record.same if isinstance(result, Validated) else None for result in results]


def _estimate(step: Step) -> Estimate:
    """Estimate the panel's calls; which answers no rule decides is known only after grading."""
    n_questions, known = assumed_questions(step)
    grading, n_trials = step.study.grading, n_questions * step.study.trials * len(ROLES)
    n_pairs = min(n_trials, grading.n_agreement_pairs + round(_ASSUMED_UNDECIDED_SHARE * n_trials))
    summary = (
        f"{_ASSUMED_UNDECIDED_SHARE:.0%} of the answers decided by no rule, {grading.n_agreement_pairs} others{known}"
    )
    estimates = (estimate_assumed(step, model, n_pairs, 600, 80, summary) for model in grading.panel)
    return sum(estimates, Estimate())


grading_disagreements = sql_step("grading_disagreements", _GROUP)

STEPS = (
    graded_trials,
    grading_disagreements,
)
