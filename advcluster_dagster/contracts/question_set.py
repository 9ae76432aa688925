"""Tables of the first stage: pass rates, accuracies, the analysis question set (paper section 3.2.1, tables 1, 5 to
9).
"""

import polars as pl

from advcluster_dagster.contracts.columns import (
    BENCHMARK,
    MODEL,
    QUESTION_ID,
    ROLE,
    SOURCE_KEY,
    count,
    flag,
    interval,
    number,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table

_GAP = Column("pass_rate_gap", pl.Float64(), "larger_pass_rate - smaller_pass_rate; null when either is.", True, -1, 1)
_ACCURACIES = (
    Column("mean_accuracy", pl.Float64(), "Mean accuracy over the trials, percent.", True, 0, 100),
    Column(
        "std_accuracy", pl.Float64(), "Sample standard deviation over the trials, percent; null below two.", True, 0
    ),
)

PASS_RATE_TABLE = Table(
    "pass_rate_table",
    "family_domain",
    "Pass rates of both models and their gap, one row a question.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        count("larger_n_trials", "Trials of the larger model."),
        count("larger_n_scored", "Of these, trials that could be graded."),
        count("larger_n_correct", "Of these, trials answered correctly."),
        rate("larger_pass_rate", "larger_n_correct / larger_n_scored; null when nothing was scored."),
        count("smaller_n_trials", "Trials of the smaller model."),
        count("smaller_n_scored", "Of these, trials that could be graded."),
        count("smaller_n_correct", "Of these, trials answered correctly."),
        rate("smaller_pass_rate", "smaller_n_correct / smaller_n_scored; null when nothing was scored."),
        _GAP,
    ),
)
BENCHMARK_ACCURACY = Table(
    "benchmark_accuracy",
    "family_domain",
    "Accuracy of each model on each benchmark (paper tables 5 to 8).",
    ("benchmark", "role"),
    (
        BENCHMARK,
        ROLE,
        MODEL,
        count("n_questions", "Questions with at least one scored trial."),
        count("n_trials", "Trials with at least one scored question."),
        *_ACCURACIES,
    ),
)
ACCURACY_SUMMARY = Table(
    "accuracy_summary",
    "family",
    "Accuracy of each model by domain and over the family (paper tables 5 to 8, last column, and table 1).",
    ("level", "domain", "role"),
    (
        Column("level", pl.String(), "Row of a domain or of the whole family.", allowed=("domain", "family")),
        Column("domain", pl.String(), "The domain; `all` on the family's row."),
        ROLE,
        *_ACCURACIES,
    ),
)
ANALYSIS_QUESTION_SET = Table(
    "analysis_question_set",
    "family_domain",
    "Questions on which the larger model's pass rate is higher by at least the minimum gap.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        Column("larger_pass_rate", pl.Float64(), "Pass rate of the larger model.", minimum=0, maximum=1),
        Column("smaller_pass_rate", pl.Float64(), "Pass rate of the smaller model.", minimum=0, maximum=1),
        Column("pass_rate_gap", pl.Float64(), "Their difference, at least the study's min_gap.", minimum=0, maximum=1),
        Column(
            "n_more_correct",
            pl.Int64(),
            "Correct trials of the larger model beyond those of the smaller one: the gap times the trials, exactly.",
            minimum=1,
        ),
    ),
)

QUESTION_STATISTICS = Table(
    "question_statistics",
    "family_domain",
    "Interval, gap on fresh trials and test of every question; null where a model has no scored trial.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        SOURCE_KEY,
        flag("is_selected", "Kept by the gap rule."),
        *interval("larger", "the larger model's pass rate (Jeffreys)"),
        *interval("smaller", "the smaller model's pass rate (Jeffreys)"),
        number("gap_mean", "Posterior mean of the gap: what fresh trials would show.", -1, 1),
        *interval("gap", "that gap", -1, 1),
        rate("gap_positive_probability", "Posterior probability of a gap above 0."),
        rate("gap_reached_probability", "Posterior probability of a gap of at least min_gap."),
        rate("half_gap_probability", "Posterior probability of a gap of at least min_gap / 2."),
        rate("p_value", "Boschloo's exact test, one-sided: no gap against a gap."),
        number("larger_variation", "Coefficient of variation of the larger model's scores; null at pass rate 0.", 0),
        number("smaller_variation", "Coefficient of variation of the smaller model's scores; null at pass rate 0.", 0),
    ),
)
PASS_AT_K_RATES = Table(
    "pass_at_k_rates",
    "family_domain",
    "Chance that at least one of k trials is correct: what k samples are worth with a perfect checker.",
    ("benchmark", "role", "k"),
    (
        BENCHMARK,
        ROLE,
        Column("k", pl.Int64(), "Trials drawn.", minimum=1),
        rate("mean", "Mean over the questions with at least k scored trials; null without any."),
        rate("low", "Lower end of its interval, over source keys."),
        rate("high", "Upper end."),
        count("n_questions", "Questions with at least k scored trials."),
        flag("reaches_larger", "Whether the smaller model's mean reaches the larger one's at k = 1.", True),
    ),
)
MAJORITY_VOTES = Table(
    "majority_votes",
    "family_domain",
    "Accuracy of the most frequent answer of k trials: what k samples are worth without a checker.",
    ("benchmark", "role", "k"),
    (
        BENCHMARK,
        ROLE,
        Column("k", pl.Int64(), "Trials drawn.", minimum=1),
        rate("mean", "Mean over the questions with at least k scored trials; m tied answers count 1/m each."),
        rate("low", "Lower end of its interval, over source keys."),
        rate("high", "Upper end."),
        count("n_questions", "Questions with at least k scored trials."),
        rate("tie_share", "Share of draws in which several answers are most frequent."),
        rate("hard_solved_share", "Questions with a pass rate below 1/2 that the vote gets right, share of all."),
        rate("easy_broken_share", "Questions with a pass rate above 1/2 that the vote gets wrong, share of all."),
    ),
)
GAP_TESTS = Table(
    "gap_tests",
    "family",
    "Gap tests of all complete questions of a family, adjusted for their number.",
    ("domain", "question_id"),
    (
        text("domain", "Domain of the question."),
        QUESTION_ID,
        rate("p_value", "As in question_statistics."),
        rate("q_value", "Benjamini-Hochberg over all complete questions of the family, kept or not."),
        flag("is_discovery", "q_value at most statistics.fdr."),
    ),
)
SELECTION_RELIABILITIES = Table(
    "selection_reliabilities",
    "family",
    "What the gap rule's selection leaves of the observed gap on fresh trials.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family."),
        count("n_pool", "Complete questions."),
        count("n_kept", "Of these, kept by the gap rule."),
        number("observed_gap", "Mean observed gap of the kept questions; selected, so too large.", -1, 1),
        number("estimated_gap", "Mean gap that fresh trials of them would show.", -1, 1),
        rate("false_keep_share", "Expected share of kept questions whose true gap is below min_gap."),
        rate("half_false_keep_share", "Expected share whose true gap is below min_gap / 2."),
        rate("no_gap_share", "Expected share without a true gap above 0."),
        number("expected_missed", "Expected number of questions not kept whose true gap reaches min_gap.", 0),
        count("n_discoveries", "Questions whose gap test holds after adjustment, kept or not."),
    ),
)
PAIRED_ACCURACIES = Table(
    "paired_accuracies",
    "family",
    "Accuracy of both models on the same questions and their difference, fractions, with intervals over source keys.",
    ("level", "domain", "benchmark", "task_format"),
    (
        text("level", "What the row is over.", allowed=("benchmark", "domain", "family")),
        text("domain", "Domain; `all` on the family's row."),
        text("benchmark", "Benchmark; `all` above it."),
        text("task_format", "multiple_choice or open_ended; `all` for both."),
        count("n_questions", "Questions with a scored trial of both models."),
        count("n_keys", "Source keys among them, the unit of the intervals."),
        rate("larger_mean", "Mean pass rate of the larger model: over questions, then benchmarks, then domains."),
        rate("smaller_mean", "Of the smaller model."),
        number("difference", "larger_mean - smaller_mean.", -1, 1),
        number("standard_error", "Of the difference, clustered by source key; null with one key a benchmark.", 0),
        *interval("difference", "the difference (Student's t)", None, None),
        rate("p_value", "Two-sided sign-flip test over keys; null with one key."),
        *interval("larger", "the larger model's mean"),
        *interval("smaller", "the smaller model's mean"),
        number("correlation", "Correlation of both pass rates over questions; null where one is constant.", -1, 1),
        count("n_larger_better", "Questions with the higher pass rate on the larger model's side."),
        count("n_ties", "Questions with equal pass rates."),
        count("n_smaller_better", "Questions with the higher pass rate on the smaller model's side."),
        rate("trial_variance_share", "Share of the variance that more trials would remove; null with one trial."),
        number("detectable_difference", "Difference found with 80 % power at 5 %: 2.80 standard errors.", 0),
    ),
)
SPLIT_HALF_GAPS = Table(
    "split_half_gaps",
    "family",
    "Gap of questions that half the trials keep, there and on the other half; no rows with one trial.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family."),
        count("n_questions", "Complete questions."),
        count("n_keys", "Source keys among them."),
        Column("expected_selected", pl.Float64(), "Expected number of questions that half the trials keep.", minimum=0),
        number("selected_gap", "Their gap on the half that selected them.", -1, 1),
        number("replicated_gap", "Their gap on the other half: a lower bound of the kept questions' gap.", -1, 1),
        *interval("replicated", "replicated_gap, over source keys", -1, 1),
    ),
)

TABLES = (
    PASS_RATE_TABLE,
    BENCHMARK_ACCURACY,
    ACCURACY_SUMMARY,
    ANALYSIS_QUESTION_SET,
    QUESTION_STATISTICS,
    PASS_AT_K_RATES,
    MAJORITY_VOTES,
    GAP_TESTS,
    SELECTION_RELIABILITIES,
    PAIRED_ACCURACIES,
    SPLIT_HALF_GAPS,
)
