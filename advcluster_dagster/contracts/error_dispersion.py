"""Tables of the first-error analysis (paper appendices A.5 and A.6, table 11)."""

import polars as pl

from advcluster_dagster.contracts.columns import MODEL, QUESTION_ID, count, rate
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import N_DEPTHS

ERROR_DISPERSION = Table(
    "error_dispersion",
    "family_domain",
    "First errors of a kept question by depth, and how dispersed they are.",
    ("question_id",),
    (
        QUESTION_ID,
        count("n_errors", "First errors found, N."),
        *(count(f"n_depth_{depth}", f"First errors at depth {depth}.") for depth in range(1, N_DEPTHS + 1)),
        Column("entropy", pl.Float64(), "H, bits; null without errors.", True, 0),
        Column("max_entropy", pl.Float64(), "H_max(N, 5), bits; null without errors.", True, 0),
        rate("edi", "Error Dispersion Index H / H_max; null for N <= 1."),
        Column("mean_depth", pl.Float64(), "Mean depth of the first errors; null without errors.", True, 1, 5),
    ),
)
EDI_SUMMARY = Table(
    "edi_summary",
    "family_domain",
    "Mean and deviation of the index over a domain's kept questions (paper table 11).",
    ("model",),
    (
        MODEL,
        count("n_questions", "N_Q, kept questions."),
        count("n_undefined", "Of these, questions whose index is undefined."),
        rate("mean_edi", "Mean over the questions where it is defined; null when there is none."),
        Column("std_edi", pl.Float64(), "Sample standard deviation; null below two defined values.", True, 0),
    ),
)

TABLES = (ERROR_DISPERSION, EDI_SUMMARY)
