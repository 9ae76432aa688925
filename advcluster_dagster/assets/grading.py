"""Graded trials (paper section 3.2.1, the indicator c).

Here: the assets of group `grading` and their checks. Not here: how an answer is found and compared (science/grading).
"""

from collections.abc import Callable

import polars as pl

from advcluster_dagster.assets.recipe import Check, Outcome, sql_step, table_step
from advcluster_dagster.assets.step import Step, StepError
from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.sandbox.pool import SandboxError
from advcluster_dagster.science.grading.grade import grade_in_batches
from advcluster_dagster.settings.base import ROLES

_GROUP = "grading"


def _share_check(
    name: str, description: str, verdict: pl.Expr, bound: Callable[[Step], float], is_blocking: bool
) -> Check:
    def evaluate(step: Step, graded: pl.LazyFrame) -> Outcome:
        shares = graded.group_by("role").agg(verdict.mean().alias("share")).sort("role").collect()
        largest = max(shares["share"], default=0.0)
        return Outcome(largest <= bound(step), {**dict(shares.iter_rows()), "bound": bound(step)})

    return Check(name, description, evaluate, is_blocking)


def _complete_trials(step: Step, graded: pl.LazyFrame) -> Outcome:
    n_wanted = step.read_partition("benchmark_questions", must_exist=True).height * step.study.trials * len(ROLES)
    n_missing = n_wanted - graded.select(pl.len()).collect().item()
    share = n_missing / n_wanted if n_wanted else 0.0
    bound = step.study.checks.max_missing_trial_share
    return Outcome(share <= bound, {"n_missing": n_missing, "n_wanted": n_wanted, "share": share, "bound": bound})


@table_step(
    _GROUP,
    settings=lambda study, partition: {
        "markers": {name: study.benchmark(name).answer_marker for name in study.domains[partition.domain]},
    },
    code=("science/grading", "sandbox"),
    checks={
        "graded_trials": (
            Check("trials_complete", "Every question has T trials of both models.", _complete_trials),
            _share_check(
                "ungraded_share",
                "Few trials could not be graded; more would bias the pass rates.",
                pl.col("is_correct").is_null(),
                lambda step: step.study.checks.max_ungraded_share,
                is_blocking=True,
            ),
            _share_check(
                "no_answer_share",
                "Few responses lack an answer.",
                pl.col("verdict") == "no_answer",
                lambda step: step.study.checks.max_no_answer_share,
                is_blocking=False,
            ),
            _share_check(
                "truncated_share",
                "Few responses were cut off at the token limit.",
                pl.col("verdict") == "truncated",
                lambda step: step.study.checks.max_truncated_share,
                is_blocking=False,
            ),
        )
    },
)
def graded_trials(
    step: Step, larger_traces: pl.LazyFrame, smaller_traces: pl.LazyFrame, benchmark_questions: pl.DataFrame
) -> pl.DataFrame:
    """Every trial of both models with its verdict."""
    markers = {
        name: marker for name in step.study.domains[step.domain] if (marker := step.study.benchmark(name).answer_marker)
    }
    by_role = {"larger": larger_traces, "smaller": smaller_traces}
    try:
        with Deciders() as deciders:
            graded = grade_in_batches(by_role, benchmark_questions, markers, deciders.decide_many)
    except (ValueError, SandboxError) as error:
        raise StepError(str(error)) from None
    step.facts.update(deciders.facts)
    step.facts["verdicts"] = dict(graded["verdict"].value_counts(sort=True).iter_rows())
    return graded.sort("benchmark", "question_id", "role", "trial")


sql_step("grading_disagreements", _GROUP)
