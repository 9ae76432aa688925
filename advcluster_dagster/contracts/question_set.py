"""Tables of the first stage: pass rates, accuracies, analysis question set (paper section 3.2.1, tables 1, 5 to 9)."""

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

_GAP = Column(
    "pass_rate_gap", pl.Float64(), "larger_pass_rate - smaller_pass_rate; null if either is null.", True, -1, 1
)
_ACCURACIES = (
    Column("mean_accuracy", pl.Float64(), "Mean accuracy over the trials, percent.", True, 0, 100),
    Column(
        "std_accuracy",
        pl.Float64(),
        "Sample standard deviation over the trials, percent; null below two trials.",
        True,
        0,
    ),
)

PASS_RATE_TABLE = Table(
    "pass_rate_table",
    "family_domain",
    "Pass rates of both models and their gap, one row per question.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        count("larger_n_trials", "Trials of the larger model."),
        count("larger_n_scored", "Of these, trials that could be graded."),
        count("larger_n_correct", "Of these, trials answered correctly."),
        rate("larger_pass_rate", "larger_n_correct / larger_n_scored; null if no trial was scored."),
        count("smaller_n_trials", "Trials of the smaller model."),
        count("smaller_n_scored", "Of these, trials that could be graded."),
        count("smaller_n_correct", "Of these, trials answered correctly."),
        rate("smaller_pass_rate", "smaller_n_correct / smaller_n_scored; null if no trial was scored."),
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
        Column(
            "level", pl.String(), "Whether the row covers a domain or the whole family.", allowed=("domain", "family")
        ),
        Column("domain", pl.String(), "Domain; `all` on the family's row."),
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
        Column(
            "pass_rate_gap",
            pl.Float64(),
            "larger_pass_rate - smaller_pass_rate, at least the study's min_gap.",
            minimum=0,
            maximum=1,
        ),
        Column(
            "n_more_correct",
            pl.Int64(),
            "Correct trials of the larger model minus those of the smaller one: the gap times the trials, exact.",
            minimum=1,
        ),
    ),
)

QUESTION_STATISTICS = Table(
    "question_statistics",
    "family_domain",
    "Per question: intervals, expected gap on fresh trials and gap test; null where a model has no scored trial.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        SOURCE_KEY,
        flag("is_selected", "Whether the gap rule selects the question."),
        *interval("larger", "the larger model's pass rate (Jeffreys)"),
        *interval("smaller", "the smaller model's pass rate (Jeffreys)"),
        number("gap_mean", "Posterior mean of the gap: its expected value on fresh trials.", -1, 1),
        *interval("gap", "the gap on fresh trials", -1, 1),
        rate("gap_positive_probability", "Posterior probability of a gap above 0."),
        rate("gap_reached_probability", "Posterior probability of a gap of at least min_gap."),
        rate("half_gap_probability", "Posterior probability of a gap of at least min_gap / 2."),
        rate("p_value", "One-sided Boschloo exact test of no gap against a positive gap."),
        number("larger_variation", "Coefficient of variation of the larger model's scores; null at pass rate 0.", 0),
        number("smaller_variation", "Coefficient of variation of the smaller model's scores; null at pass rate 0.", 0),
    ),
)
PASS_AT_K_RATES = Table(
    "pass_at_k_rates",
    "family_domain",
    "Probability that at least one of k trials is correct: the value of k samples with a perfect checker.",
    ("benchmark", "role", "k"),
    (
        BENCHMARK,
        ROLE,
        Column("k", pl.Int64(), "Number of trials drawn.", minimum=1),
        rate("mean", "Mean over the questions with at least k scored trials; null if there are none."),
        rate("low", "Lower bound of its confidence interval, over source keys."),
        rate("high", "Upper bound."),
        count("n_questions", "Questions with at least k scored trials."),
        flag("reaches_larger", "Whether the smaller model's mean reaches the larger one's at k = 1.", True),
    ),
)
MAJORITY_VOTES = Table(
    "majority_votes",
    "family_domain",
    "Accuracy of the most frequent answer of k trials: the value of k samples without a checker.",
    ("benchmark", "role", "k"),
    (
        BENCHMARK,
        ROLE,
        Column("k", pl.Int64(), "Number of trials drawn.", minimum=1),
        rate("mean", "Mean over the questions with at least k scored trials; m tied answers count 1/m each."),
        rate("low", "Lower bound of its confidence interval, over source keys."),
        rate("high", "Upper bound."),
        count("n_questions", "Questions with at least k scored trials."),
        rate("tie_share", "Share of draws in which several answers are most frequent."),
        rate(
            "hard_solved_share",
            "Share of all questions that have a pass rate below 1/2 and that the vote answers correctly.",
        ),
        rate(
            "easy_broken_share",
            "Share of all questions that have a pass rate above 1/2 and that the vote answers wrongly.",
        ),
    ),
)
GAP_TESTS = Table(
    "gap_tests",
    "family",
    "Gap tests of all complete questions of a family, adjusted for multiple testing.",
    ("domain", "question_id"),
    (
        text("domain", "Domain of the question."),
        QUESTION_ID,
        rate("p_value", "p_value of question_statistics."),
        rate("q_value", "Benjamini-Hochberg q-value over all complete questions of the family, selected or not."),
        flag("is_discovery", "q_value at most statistics.fdr."),
    ),
)
SELECTION_RELIABILITIES = Table(
    "selection_reliabilities",
    "family",
    "How much of the observed gap of the selected questions is expected to remain on fresh trials.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family."),
        count("n_pool", "Complete questions."),
        count("n_kept", "Of these, selected by the gap rule."),
        number("observed_gap", "Mean observed gap of the selected questions; biased upwards by the selection.", -1, 1),
        number("estimated_gap", "Mean gap that fresh trials of these questions would show.", -1, 1),
        rate("false_keep_share", "Expected share of selected questions whose true gap is below min_gap."),
        rate("half_false_keep_share", "Expected share of selected questions whose true gap is below min_gap / 2."),
        rate("no_gap_share", "Expected share of selected questions whose true gap is at most 0."),
        number("expected_missed", "Expected number of questions not selected whose true gap is at least min_gap.", 0),
        count("n_discoveries", "Questions with is_discovery true in gap_tests, selected or not."),
    ),
)
PAIRED_ACCURACIES = Table(
    "paired_accuracies",
    "family",
    "Accuracy of both models on the same questions and their difference, fractions, with intervals over source keys.",
    ("level", "domain", "benchmark", "task_format"),
    (
        text("level", "What the row aggregates.", allowed=("benchmark", "domain", "family")),
        text("domain", "Domain; `all` on the family's row."),
        text("benchmark", "Benchmark; `all` on the rows of a domain or the family."),
        text("task_format", "multiple_choice or open_ended; `all` for both."),
        count("n_questions", "Questions with a scored trial of both models."),
        count("n_keys", "Source keys of these questions, the resampling unit of the intervals."),
        rate(
            "larger_mean", "Mean pass rate of the larger model, averaged over questions, then benchmarks, then domains."
        ),
        rate("smaller_mean", "The same for the smaller model."),
        number("difference", "larger_mean - smaller_mean.", -1, 1),
        number(
            "standard_error",
            "Standard error of the difference, clustered by source key; null with one key per benchmark.",
            0,
        ),
        *interval("difference", "the difference (Student's t)", None, None),
        rate("p_value", "Two-sided sign-flip test over keys; null with one key."),
        *interval("larger", "the larger model's mean"),
        *interval("smaller", "the smaller model's mean"),
        number("correlation", "Correlation of the two pass rates over questions; null if either is constant.", -1, 1),
        count("n_larger_better", "Questions on which the larger model has the higher pass rate."),
        count("n_ties", "Questions with equal pass rates."),
        count("n_smaller_better", "Questions on which the smaller model has the higher pass rate."),
        rate(
            "trial_variance_share",
            "Share of the variance that is due to the limited number of trials; null with one trial.",
        ),
        number(
            "detectable_difference",
            "Smallest difference detected with 80 % power at the 5 % level: 2.80 standard errors.",
            0,
        ),
    ),
)
SPLIT_HALF_GAPS = Table(
    "split_half_gaps",
    "family",
    "Gap of questions selected on half the trials, on that half and on the other one; no rows with one trial.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family."),
        count("n_questions", "Complete questions."),
        count("n_keys", "Source keys of these questions."),
        Column(
            "expected_selected", pl.Float64(), "Expected number of questions selected on half the trials.", minimum=0
        ),
        number("selected_gap", "Mean gap of these on the half that selected them.", -1, 1),
        number(
            "replicated_gap",
            "Mean gap of these on the other half: a lower bound of the selected questions' gap.",
            -1,
            1,
        ),
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
