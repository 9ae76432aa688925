"""Steps of stage 1 (paper section 3.2.1): pass rates, accuracies, the analysis question set, and their statistics."""

import polars as pl

from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import sql_step, table_step
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.question_set.paired_accuracies import paired_accuracies, task_format
from advcluster_dagster.science.question_set.question_statistics import GapRule, priors_of, selection_reliabilities
from advcluster_dagster.science.question_set.question_statistics import gap_tests as test_gaps
from advcluster_dagster.science.question_set.question_statistics import question_statistics as measure_questions
from advcluster_dagster.science.question_set.repeated_sampling import majority_votes, pass_at_k_rates, sample_sizes
from advcluster_dagster.science.question_set.selection import (
    count_incomplete_questions,
    is_complete,
    select_analysis_questions,
)
from advcluster_dagster.science.question_set.split_halves import split_half_gaps
from advcluster_dagster.science.statistics.resampling import table_rng
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_GROUP = "question_set"

pass_rate_table = sql_step("pass_rate_table", _GROUP)
benchmark_accuracy = sql_step("benchmark_accuracy", _GROUP)
accuracy_summary = sql_step("accuracy_summary", _GROUP)


def _several_trials(step: Step, _questions: pl.LazyFrame) -> Outcome:
    trials = step.study.trials
    fact = {"measured": "one trial per question: pass rates are 0 or 1, and a gap cannot be told from chance"}
    return Outcome(trials > 1, {"trials": trials, **(fact if trials == 1 else {})})


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


_STATISTICS = ("confidence", "n_bootstrap", "n_permutations", "fdr", "prior", "pass_at_k")


def _statistics_settings(study: Study, _partition: Partition) -> dict[str, object]:
    return {
        **study.statistics.model_dump(mode="json", include=set(_STATISTICS)),
        "min_gap": study.question_set.min_gap,
        "trials": study.trials,
        "seed": study.seed,
    }


def _gap_rule(study: Study) -> GapRule:
    statistics = study.statistics
    return GapRule(study.question_set.min_gap, study.trials, statistics.confidence, statistics.fdr, statistics.prior)


@table_step(_GROUP, tables=("question_statistics", "pass_at_k_rates", "majority_votes"), settings=_statistics_settings)
def question_statistics(
    step: Step, pass_rate_table: pl.DataFrame, graded_trials: pl.DataFrame, benchmark_questions: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Posterior of each question's gap, and the accuracy of several samples of a model: pass@k, majority votes."""
    rule, statistics, keys = _gap_rule(step.study), step.study.statistics, ("question_id", "source_key", "answer_type")
    trials = graded_trials.join(benchmark_questions.select(keys), on="question_id", how="left", maintain_order="left")
    sizes = sample_sizes(step.study.trials, statistics.pass_at_k)
    step.facts["prior"] = priors_of(pass_rate_table, rule)
    return {
        "question_statistics": measure_questions(
            pass_rate_table, benchmark_questions.select("question_id", "source_key"), rule
        ),
        "pass_at_k_rates": pass_at_k_rates(trials, sizes, statistics.confidence),
        "majority_votes": majority_votes(trials, sizes, statistics.confidence, step.study.seed),
    }


@table_step(
    _GROUP,
    tables=("gap_tests", "selection_reliabilities", "paired_accuracies", "split_half_gaps"),
    settings=_statistics_settings,
)
def gap_tests(
    step: Step, question_statistics: pl.DataFrame, pass_rate_table: pl.DataFrame, benchmark_questions: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Tests of the gaps against chance, reliability of the selection, and the paired accuracies of a family."""
    rule, statistics, seed = _gap_rule(step.study), step.study.statistics, step.study.seed
    keys = ["domain", "question_id"]
    formats = benchmark_questions.select(*keys, "source_key", task_format=task_format("answer_type"))
    rates = pass_rate_table.join(formats, on=keys, how="left", maintain_order="left")
    tests = test_gaps(question_statistics, rates.filter(is_complete(rule.trials)).select(keys), rule.fdr)
    return {
        "gap_tests": tests,
        "selection_reliabilities": selection_reliabilities(question_statistics, rates, tests, rule.trials),
        "paired_accuracies": paired_accuracies(
            rates, rule.confidence, statistics.n_permutations, table_rng(seed, "paired_accuracies", step.family)
        ),
        "split_half_gaps": split_half_gaps(
            rates,
            rule.min_gap,
            rule.trials,
            rule.confidence,
            statistics.n_bootstrap,
            table_rng(seed, "split_half_gaps", step.family),
        ),
    }


STEPS = (
    pass_rate_table,
    benchmark_accuracy,
    accuracy_summary,
    analysis_question_set,
    question_statistics,
    gap_tests,
)
