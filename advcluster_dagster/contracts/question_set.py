"""Tables of the first stage: pass rates, accuracies, the analysis question set (paper section 3.2.1, tables 1, 5 to
9).
"""

import polars as pl

from advcluster_dagster.contracts.columns import BENCHMARK, MODEL, QUESTION_ID, ROLE, count, rate
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

TABLES = (PASS_RATE_TABLE, BENCHMARK_ACCURACY, ACCURACY_SUMMARY, ANALYSIS_QUESTION_SET)
