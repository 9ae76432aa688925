"""Steps of stage 1 (paper section 3.2.1): pass rates, accuracies, the analysis question set."""

import polars as pl

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.question_set.selection import count_incomplete_questions, select_analysis_questions

_GROUP = "question_set"

pass_rate_table = sql_step("pass_rate_table", _GROUP)
benchmark_accuracy = sql_step("benchmark_accuracy", _GROUP)
accuracy_summary = sql_step("accuracy_summary", _GROUP)


def _several_trials(step: Step, _questions: pl.LazyFrame) -> Outcome:
    trials = step.study.trials
    reading = {"measured": "one trial a question, so pass rates are 0 or 1 and a gap says nothing about chance"}
    return Outcome(trials > 1, {"trials": trials, **(reading if trials == 1 else {})})


@table_step(
    _GROUP,
    settings=lambda study, _: {"min_gap": study.question_set.min_gap, "trials": study.trials},
    checks={
        "analysis_question_set": (
            Check(
                "several_trials",
                description="Each model answers each question in several trials.",
                judge=_several_trials,
            ),
        )
    },
)
def analysis_question_set(step: Step, pass_rate_table: pl.DataFrame) -> pl.DataFrame:
    """Questions on which the larger model's pass rate is higher by at least the minimum gap."""
    min_gap, trials = step.study.question_set.min_gap, step.study.trials
    step.facts["n_questions"] = pass_rate_table.height
    step.facts["n_incomplete"] = count_incomplete_questions(pass_rate_table, trials)
    return select_analysis_questions(pass_rate_table, min_gap, trials)


STEPS = (
    pass_rate_table,
    benchmark_accuracy,
    accuracy_summary,
    analysis_question_set,
)
