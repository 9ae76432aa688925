"""Steps of the first-error analysis (paper section 5.3, appendix A.5)."""

import polars as pl

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.error_dispersion.dispersion import measure_error_dispersion
from advcluster_dagster.science.error_dispersion.dispersion_tests import (
    ResamplingSettings,
    incomplete_trials,
    stage_shares,
)
from advcluster_dagster.science.error_dispersion.dispersion_tests import dispersion_tests as test_dispersion
from advcluster_dagster.science.statistics.resampling import table_rng

_GROUP = "error_dispersion"


@table_step(
    _GROUP,
    settings=lambda study, _: {"max_edi_shown": study.error_dispersion.max_edi_shown},
)
def error_dispersion(
    step: Step, analysis_question_set: pl.DataFrame, first_errors: pl.DataFrame, trace_pairs: pl.DataFrame
) -> pl.DataFrame:
    """First errors of each kept question by depth, and their dispersion; excludes pairs without an answer."""
    answered = trace_pairs.filter(pl.col("smaller_verdict") == "wrong")
    errors = first_errors.join(answered, on="pair_id", how="semi")
    measured = measure_error_dispersion(analysis_question_set, errors)
    step.facts["n_without_answer"] = first_errors.height - errors.height
    step.facts["n_undefined"] = measured["edi"].null_count()
    return measured


def _mean_bounded(_step: Step, summary: pl.LazyFrame, bound: float | None) -> Outcome:
    means = summary.select("model", "mean_edi").collect()
    is_above = bound is not None and bool((means["mean_edi"] > bound).any())
    return Outcome(not is_above, {"bound": "none set" if bound is None else bound, **dict(means.iter_rows())})


edi_summary = sql_step(
    "edi_summary",
    _GROUP,
    checks={
        "edi_summary": (
            Check(
                "mean_edi_bounded",
                description="First errors concentrate at few depths: the mean index is low.",
                judge=_mean_bounded,
                bound="max_mean_edi",
            ),
        )
    },
)


def _below_null(_step: Step, tests: pl.LazyFrame, bound: float) -> Outcome:
    """Fail if first errors do not concentrate in some tested domain; untested domains are listed and do not fail."""
    rows = tests.select("domain", "p_value", "n_questions").collect()
    tested = rows.drop_nulls("p_value")
    spread = tested.filter(pl.col("p_value") > bound)["domain"].to_list()
    facts = {name: round(p, 4) for name, p, _ in tested.iter_rows()}
    untested = rows.filter(pl.col("p_value").is_null())["domain"].to_list()
    return Outcome(not spread, {"bound": bound, **facts, **({"not_tested": ", ".join(untested)} if untested else {})})


@table_step(
    _GROUP,
    tables=("dispersion_tests", "stage_shares"),
    settings=lambda study, _: {
        **study.statistics.model_dump(mode="json", include={"confidence", "n_bootstrap", "n_permutations"}),
        "seed": study.seed,
    },
    checks={
        "dispersion_tests": (
            Check(
                "dispersion_below_null",
                description="First errors of a question concentrate more than permuted stages would.",
                judge=_below_null,
                bound="max_dispersion_p",
            ),
        )
    },
)
def dispersion_tests(
    step: Step,
    error_dispersion: pl.DataFrame,
    graded_trials: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Tests of whether first errors concentrate more than by chance, and their shares by stage."""
    statistics, seed = step.study.statistics, step.study.seed
    settings = ResamplingSettings(statistics.confidence, statistics.n_bootstrap, statistics.n_permutations)
    keys = benchmark_questions.select("domain", "question_id", "source_key")
    rng = table_rng(seed, "dispersion_tests", step.family)
    return {
        "dispersion_tests": test_dispersion(error_dispersion, keys, settings, rng),
        "stage_shares": stage_shares(
            error_dispersion,
            incomplete_trials(analysis_question_set, graded_trials),
            keys,
            settings,
            table_rng(seed, "stage_shares", step.family),
        ),
    }


STEPS = (
    error_dispersion,
    edi_summary,
    dispersion_tests,
)
