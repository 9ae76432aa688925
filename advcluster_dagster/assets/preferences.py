"""The step that draws preference pairs, and the check that they contain nothing held out."""

import hashlib

import polars as pl

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.science.preferences.drawing import DrawSettings, draw_preferences
from advcluster_dagster.science.preferences.labels import with_deltas, with_pair_labels
from advcluster_dagster.science.preferences.near_duplicates import count_matches, held_out_faults, held_out_matches
from advcluster_dagster.science.preferences.selection import (
    PreferenceSelection,
    limit_length_ratio,
    select_all,
    select_by_cluster,
    select_control,
    select_top_delta,
)
from advcluster_dagster.science.traces import stack_traces
from advcluster_dagster.sources.held_out import HeldOutError, held_out_files, held_out_questions
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.preferences import Preferences
from advcluster_dagster.study.study import Study

_GROUP = "preferences"
_TRACE = ("question_id", "trial", "response", "finish_reason", "prompt_tokens", "completion_tokens")


def _preferences(study: Study) -> Preferences:
    assert study.preferences is not None  # the step exists only for studies with this section
    return study.preferences


def _settings(study: Study, _partition: Partition) -> dict[str, object]:
    names = [name for listed in study.domains.values() for name in listed]
    return {
        **_preferences(study).model_dump(mode="json"),
        "may_train": {name: study.may_train(name) for name in names},
        "trials": study.trials,
        "seed": study.seed,
    }


def _held_out(step: Step, questions: pl.DataFrame) -> pl.DataFrame:
    """Return question_id and question of everything held out."""
    entries, domains = _preferences(step.study).held_out, tuple(step.study.domains)
    try:
        return held_out_questions(step.home.root, entries, questions, domains)
    except HeldOutError as error:
        raise StepError(str(error)) from None


def _nothing_held_out(step: Step, rows: pl.LazyFrame) -> Outcome:
    """Check by ids and normal forms only that the draw excluded everything held out."""
    exported = rows.filter("is_exported").select("question_id", "benchmark").collect()
    questions = step.load("benchmark_questions")
    held_out = _held_out(step, questions)
    refused = [name for name in exported["benchmark"].unique().sort() if not step.study.may_train(name)]
    bad = held_out_faults(questions, exported["question_id"].to_list(), held_out)
    facts = {"n_exported": exported.height, "n_held_out": held_out.height, "refused_benchmarks": ", ".join(refused)}
    return Outcome(not bad and not refused, {**facts, "first": str(bad[:3])})


@table_step(
    _GROUP,
    tables=("preference_pairs", "preference_selections", "held_out_matches"),
    reads=("first_errors", "advantage_corpus", "taxonomy_assignments", "trace_qualities"),
    settings=_settings,
    sources=lambda home, study, _: {
        entry: hashlib.sha256(path.read_bytes()).hexdigest()
        for entry, path in held_out_files(home.root, _preferences(study).held_out).items()
    },
    checks={
        "preference_pairs": (
            Check(
                "nothing_held_out",
                "No exported pair uses a held-out question, a repetition of one, or a benchmark that refuses training.",
                _nothing_held_out,
                is_blocking=True,
            ),
        )
    },
)
def preference_pairs(
    step: Step,
    graded_trials: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
    benchmark_questions: pl.DataFrame,
    trace_pairs: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Pairs of traces to train on, with labels and selections, and the questions that repeat held-out ones."""
    chosen = _preferences(step.study)
    matches = held_out_matches(benchmark_questions, _held_out(step, benchmark_questions))
    trials = _trials(graded_trials, larger_traces, smaller_traces)
    pairs, without = _drawn(step, benchmark_questions, trials, trace_pairs, matches)
    if chosen.max_length_ratio is not None:
        pairs = limit_length_ratio(pairs, chosen.max_length_ratio, chosen.matched)
    pairs = with_pair_labels(pairs, _clusters_of_pairs(step), step.load("first_errors"))
    pairs = with_deltas(pairs, step.load("trace_qualities"), chosen.dimension)
    selections = _selections(pairs, chosen, step.study.seed)
    step.facts["questions_by_match"] = dict(count_matches(benchmark_questions, matches))
    step.facts["questions_without_pair"] = without
    step.facts["left_out"] = dict(pairs["reason_left_out"].drop_nulls().value_counts(sort=True).iter_rows())
    step.facts["not_selected"] = {
        str(selection.rows["selection"].first()): {**selection.left_out, "n_missing": selection.n_missing}
        for selection in selections
    }
    rows = pl.concat([selection.rows for selection in selections])
    return {"preference_pairs": pairs, "preference_selections": rows, "held_out_matches": matches}


def _trials(graded: pl.DataFrame, larger: pl.LazyFrame, smaller: pl.LazyFrame) -> pl.DataFrame:
    traces = stack_traces(larger, smaller, _TRACE).collect()
    verdicts = graded.select("domain", "question_id", "role", "trial", "is_correct")
    return verdicts.join(traces, on=["question_id", "role", "trial"], how="left", maintain_order="left")


def _drawn(
    step: Step, questions: pl.DataFrame, trials: pl.DataFrame, trace_pairs: pl.DataFrame, matches: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the pairs of all domains, and the number of questions without one by scheme, combination and reason."""
    study, chosen = step.study, _preferences(step.study)
    draw = DrawSettings(
        chosen.schemes, chosen.combinations, chosen.matched, chosen.n_per_question, chosen.model, chosen.max_tokens,
        chosen.accepts_unknown_finish,
    )  # fmt: skip
    allowed = {name for name in questions["benchmark"].unique() if study.may_train(name)}
    drawn = draw_preferences(
        questions, trials, trace_pairs, matches, allowed, draw, study.trials, step.family, study.seed
    )
    domains = questions.select("question_id", "domain")
    pairs = drawn.preferences.join(domains, on="question_id", how="left", maintain_order="left")
    return pairs, {" ".join(reason): n for reason, n in drawn.without_pair.items()}


def _clusters_of_pairs(step: Step) -> pl.DataFrame:
    """Return pair_id and cluster_id of each advantage; cluster_id is null for advantages in no cluster."""
    assigned = step.load("taxonomy_assignments").select("advantage_id", "cluster_id")
    corpus = step.load("advantage_corpus").select("advantage_id", "pair_id")
    return corpus.join(assigned, on="advantage_id", how="left", maintain_order="left")


def _selections(pairs: pl.DataFrame, chosen: Preferences, seed: int) -> list[PreferenceSelection]:
    """Return all exported pairs and, if another selection is set, that one and its random control."""
    if chosen.selection == "all":
        return [select_all(pairs)]
    if chosen.selection == "top_delta":
        selected = select_top_delta(pairs, chosen.dimension, chosen.k)
    else:
        selected = select_by_cluster(pairs, chosen.clusters)
    return [select_all(pairs), selected, select_control(selected, seed)]


STEPS = (preference_pairs,)
