"""Tables of the first-error analysis (paper appendices A.5 and A.6, table 11)."""

import polars as pl

from advcluster_dagster.contracts.columns import MODEL, QUESTION_ID, count, interval, number, rate, text
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import N_DEPTHS, STAGE_DEPTHS

ERROR_DISPERSION = Table(
    "error_dispersion",
    "family_domain",
    "First errors of each selected question by depth, with their dispersion.",
    ("question_id",),
    (
        QUESTION_ID,
        count("n_errors", "Number of first errors, N."),
        *(count(f"n_depth_{depth}", f"First errors at depth {depth}.") for depth in range(1, N_DEPTHS + 1)),
        Column("entropy", pl.Float64(), "H, bits; null without errors.", True, 0),
        Column("max_entropy", pl.Float64(), "H_max(N, 5), bits; null without errors.", True, 0),
        rate("edi", "Error Dispersion Index H / H_max; null for N <= 1."),
        Column("mean_depth", pl.Float64(), "Mean depth of the first errors; null without errors.", True, 1, 5),
        count("n_pairs_same", "Ordered pairs of first errors of the question at the same depth."),
        rate(
            "concentration", "Probability that two first errors of the question have the same depth; null for N <= 1."
        ),
    ),
)
EDI_SUMMARY = Table(
    "edi_summary",
    "family_domain",
    "Mean and standard deviation of the EDI over a domain's selected questions (paper table 11).",
    ("model",),
    (
        MODEL,
        count("n_questions", "Number of selected questions, N_Q."),
        count("n_undefined", "Of these, questions whose EDI is undefined."),
        rate("mean_edi", "Mean EDI over the questions for which it is defined; null if there are none."),
        Column(
            "std_edi", pl.Float64(), "Sample standard deviation of the EDI; null below two defined values.", True, 0
        ),
    ),
)

DISPERSION_TESTS = Table(
    "dispersion_tests",
    "family",
    "Permutation test of whether a question's first errors concentrate on few stages.",
    ("domain",),
    (
        text("domain", "Domain; `all` for the family, permuted within domains."),
        count("n_questions", "Selected questions with at least two first errors."),
        count("n_left_out", "Selected questions with fewer, excluded."),
        Column("n_min", pl.Int64(), "Smallest number of first errors of a question; null without questions.", True, 2),
        Column("n_max", pl.Int64(), "Largest number of first errors of a question; null without questions.", True, 2),
        rate("mean_edi", "Mean Error Dispersion Index."),
        *interval("edi", "mean_edi, over source keys"),
        rate("null_mean_edi", "Mean of the mean index over permutations of the stages within a domain."),
        rate("null_low", "Lower bound of the central 95 % of the permutations (statistics.confidence)."),
        rate("null_high", "Upper bound."),
        rate("p_value", "Share of permutations with a mean index at most the observed one; null without questions."),
        number("ratio", "mean_edi / null_mean_edi; below 1 means concentrated.", 0),
        rate("within_agreement", "Probability that two first errors of the same question have the same stage."),
        rate("between_agreement", "Probability that two first errors of different questions have the same stage."),
        number(
            "kappa", "(within - between) / (1 - between): 0 at chance level, 1 if each question has one stage.", None, 1
        ),
        *interval("kappa", "kappa, over source keys", None, 1),
        number("mutual_information", "Mutual information of question and stage, bits.", -1e-9),
        rate(
            "information_p_value",
            "Share of permutations with at least the observed information; null without questions.",
        ),
        Column("n_errors", pl.Int64(), "Number of first errors; null without questions.", True, 2),
    ),
)
STAGE_SHARES = Table(
    "stage_shares",
    "family",
    "Distribution of the first errors over the stages, each question weighted equally.",
    ("domain", "stage"),
    (
        text("domain", "Domain; `all` for the family."),
        text(
            "stage",
            "Stage; `depth_3_4` for depths 3 and 4 together, `incomplete` for the smaller model's wrong trials that"
            " have no answer or were truncated, as a share of its wrong trials on selected questions.",
            allowed=(*STAGE_DEPTHS, "depth_3_4", "incomplete"),
        ),
        count("n_errors", "First errors at the stage; for `incomplete`, trials."),
        count("n_questions", "Selected questions with a first error; for `incomplete`, with a wrong trial."),
        rate("pair_share", "Share of all first errors; null if there are none."),
        rate("question_share", "Mean over questions of the stage's share of the question's first errors."),
        rate(
            "low", "Lower bound of the confidence interval of question_share, over source keys; null below five keys."
        ),
        rate("high", "Upper bound."),
        number("lead", "question_share of the most frequent stage minus the runner-up's; null on other rows.", 0, 1),
        *interval("lead", "lead", -1, 1),
    ),
)

TABLES = (ERROR_DISPERSION, EDI_SUMMARY, DISPERSION_TESTS, STAGE_SHARES)
