"""Tables of preference pairs (a chosen and a rejected trace) for preference training."""

import polars as pl

from advcluster_dagster.contracts.columns import BENCHMARK, PAIR_ID, QUESTION_ID, ROLE, SOURCE_KEY, TRIAL, flag, text
from advcluster_dagster.contracts.ratings import DIMENSIONS
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS

#: `generator`: chosen from the larger model, rejected from the smaller one; `same_model`: both from one model.
SCHEMES = ("generator", "same_model")
#: Verdicts of the chosen, then of the rejected trace: c correct, i incorrect.
COMBINATIONS = ("c_i", "c_c", "i_i", "i_c")
#: Dimensions of trace quality in which a pair's delta is measured.
DELTA_DIMENSIONS = DIMENSIONS
#: Reasons why a drawn pair is not exported; the first that applies, in this order, is recorded.
REASONS_LEFT_OUT = (
    "training_refused",
    "held_out",
    "near_duplicate",
    "no_text",
    "finish_unknown",
    "not_finished",
    "missing_tokens",
    "too_long",
    "identical_text",
    "length_ratio",
    "unmatched",
)
SELECTIONS = ("all", "top_delta", "cluster", "random")
RELATIONS = ("duplicate", "sibling")
MATCH_METHODS = ("ids", "normalised", "embedding", "lexical")

_PREFERENCE_ID = Column("preference_id", pl.String(), "Preference pair, SCHEME:COMBINATION:QUESTION_ID:INDEX.")


def _of(side: str, column: Column) -> Column:
    """The column for the chosen or the rejected trace."""
    return Column(
        f"{side}_{column.name}",
        column.dtype,
        f"{column.description.rstrip('.')}; of the {side} trace.",
        minimum=column.minimum,
        allowed=column.allowed,
    )


def _delta(name: str, of: str) -> Column:
    return Column(
        name, pl.Float64(), f"Score difference chosen - rejected in {of}; null unless both are rated.", True, -4, 4
    )


def _tokens(side: str) -> Column:
    return Column(f"{side}_tokens", pl.Int64(), f"Tokens of the {side} response; null if unknown.", True, 0)


PREFERENCE_PAIRS = Table(
    "preference_pairs",
    "family",
    "Pairs of traces drawn for preference training, including pairs that are not exported.",
    ("preference_id",),
    (
        _PREFERENCE_ID,
        QUESTION_ID,
        SOURCE_KEY,
        BENCHMARK,
        text("domain", "Domain of the question."),
        text("scheme", "Which models' traces are paired.", allowed=SCHEMES),
        text("combination", "Verdicts of chosen and rejected: c correct, i incorrect.", allowed=COMBINATIONS),
        _of("chosen", ROLE),
        _of("chosen", TRIAL),
        _of("rejected", ROLE),
        _of("rejected", TRIAL),
        Column("pair_id", pl.String(), f"{PAIR_ID.description} Null if the traces are not a trace pair.", True),
        _delta("delta", "the study's dimension"),
        *(_delta(f"delta_{dimension}", dimension.replace("_", " ")) for dimension in DELTA_DIMENSIONS),
        Column(
            "clusters",
            pl.List(pl.Int64()),
            "Clusters of the trace pair's kept advantages, ascending; null without an extracted trace pair.",
            is_nullable=True,
        ),
        text(
            "first_error_stage",
            "Stage of the rejected trace's first error; null if the trace pair has none.",
            is_nullable=True,
            allowed=tuple(STAGE_DEPTHS),
        ),
        _tokens("chosen"),
        _tokens("rejected"),
        flag("is_exported", "Whether the pair may be used for training."),
        text(
            "reason_left_out",
            "Why the pair is not exported; null on exported pairs.",
            is_nullable=True,
            allowed=REASONS_LEFT_OUT,
        ),
    ),
    section="preferences",
)
PREFERENCE_SELECTIONS = Table(
    "preference_selections",
    "family",
    "Preference pairs of each selection; `random` is the control for the selection configured in the study.",
    ("selection", "preference_id"),
    (
        text("selection", "Name of the selection.", allowed=SELECTIONS),
        _PREFERENCE_ID,
        text("domain", "Domain of the pair."),
        Column("rank", pl.Int64(), "Rank within the selection, from 1.", minimum=1),
    ),
    section="preferences",
)
HELD_OUT_MATCHES = Table(
    "held_out_matches",
    "family",
    "Questions that duplicate a question held out of training or vary its numbers (sibling).",
    ("question_id", "held_out_id"),
    (
        QUESTION_ID,
        text("held_out_id", "Question held out of training."),
        text("relation", "Duplicates are excluded from training, siblings are not.", allowed=RELATIONS),
        text("how", "How the match was made: id, normal form, embeddings, or words.", allowed=MATCH_METHODS),
    ),
    section="preferences",
)

TABLES = (PREFERENCE_PAIRS, PREFERENCE_SELECTIONS, HELD_OUT_MATCHES)
