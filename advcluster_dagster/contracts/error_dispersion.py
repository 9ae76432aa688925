"""Tables of the first-error analysis (paper appendices A.5 and A.6, table 11)."""

import polars as pl

from advcluster_dagster.contracts.columns import MODEL, QUESTION_ID, count, interval, number, rate, text
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import N_DEPTHS, STAGE_DEPTHS

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
        count("n_pairs_same", "Ordered pairs of first errors of the question at the same depth."),
        rate("concentration", "Chance that two first errors of the question share a depth; null for N <= 1."),
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

DISPERSION_TESTS = Table(
    "dispersion_tests",
    "family",
    "Whether the first errors of a question concentrate more than permuted stages would.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family, permuted within domains."),
        count("n_questions", "Kept questions with at least two first errors."),
        count("n_left_out", "Kept questions with fewer, left out."),
        Column("n_min", pl.Int64(), "Fewest first errors of a question; null without questions.", True, 2),
        Column("n_max", pl.Int64(), "Most first errors of a question; null without questions.", True, 2),
        rate("mean_edi", "Mean Error Dispersion Index."),
        *interval("edi", "mean_edi, over source keys"),
        rate("null_mean_edi", "Mean of the mean index over permutations of the stages within a domain."),
        rate("null_low", "Lower end of the middle 95 % of the permutations (statistics.confidence)."),
        rate("null_high", "Upper end."),
        rate("p_value", "Share of permutations with a mean index as low as observed; null without questions."),
        number("ratio", "mean_edi / null_mean_edi; below 1 is concentrated.", 0),
        rate("within_agreement", "Chance that two first errors of one question share a stage."),
        rate("between_agreement", "Chance that two first errors of different questions share a stage."),
        number("kappa", "(within - between) / (1 - between): 0 by chance, 1 one stage a question.", None, 1),
        *interval("kappa", "kappa, over source keys", None, 1),
        number("mutual_information", "Bits that the question tells about the stage.", -1e-9),
        rate("information_p_value", "Share of permutations with as much information; null without questions."),
        Column("n_errors", pl.Int64(), "First errors counted; null without questions.", True, 2),
    ),
)
STAGE_SHARES = Table(
    "stage_shares",
    "family",
    "At which stage the first errors lie, each question weighing the same.",
    ("domain", "stage"),
    (
        text("domain", "Domain; `all` for the family."),
        text(
            "stage",
            "Stage; `depth_3_4` for depths 3 and 4 together, `incomplete` for the smaller model's wrong"
            " trials without an answer or cut off, as a share of its wrong trials on kept questions.",
            allowed=(*STAGE_DEPTHS, "depth_3_4", "incomplete"),
        ),
        count("n_errors", "First errors at the stage; incomplete: trials."),
        count("n_questions", "Kept questions with a first error; incomplete: with a wrong trial."),
        rate("pair_share", "Share of all first errors; null without any."),
        rate("question_share", "Mean over questions of the stage's share of the question's first errors."),
        rate("low", "Lower end of the interval of question_share, over source keys; null below five keys."),
        rate("high", "Upper end."),
        number("lead", "question_share of the most frequent stage beyond the runner-up's; null on other rows.", 0, 1),
        *interval("lead", "lead", -1, 1),
    ),
)

TABLES = (ERROR_DISPERSION, EDI_SUMMARY, DISPERSION_TESTS, STAGE_SHARES)
