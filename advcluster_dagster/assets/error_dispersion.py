"""Steps of the first-error analysis (paper section 5.3, appendix A.5)."""

import polars as pl

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.error_dispersion.dispersion import measure_error_dispersion

_GROUP = "error_dispersion"


@table_step(
    _GROUP,
    settings=lambda study, _: {"max_edi_shown": study.error_dispersion.max_edi_shown},
)
def error_dispersion(step: Step, analysis_question_set: pl.DataFrame, first_errors: pl.DataFrame) -> pl.DataFrame:
    """First errors of each kept question by depth, and how dispersed they are."""
    measured = measure_error_dispersion(analysis_question_set, first_errors)
    step.facts["n_undefined"] = measured["edi"].null_count()
    return measured


def _mean_bounded(_step: Step, summary: pl.LazyFrame, bound: float) -> Outcome:
    means = summary.select("model", "mean_edi").collect()
    return Outcome(not (means["mean_edi"] > bound).any(), {"bound": bound, **dict(means.iter_rows())})


edi_summary = sql_step(
    "edi_summary",
    _GROUP,
    checks=(
        Check(
            "mean_edi_bounded",
            description="First errors concentrate at few depths: the mean index is low.",
            judge=_mean_bounded,
            bound="max_mean_edi",
        ),
    ),
)

STEPS = (
    error_dispersion,
    edi_summary,
)
