"""Tables of graded trials (paper section 3.2.1, the indicator c)."""

import polars as pl

from advcluster_dagster.contracts.columns import BENCHMARK, MODEL, QUESTION_ID, ROLE, TRIAL, count
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import COMPARISON_VERDICTS, VERDICTS

_VERDICT = Column("verdict", pl.String(), "Why the trial counts as it does.", allowed=VERDICTS)
_PREDICTION = Column(
    "prediction", pl.String(), "The answer found in the response; null when there is none.", is_nullable=True
)
_IS_CORRECT = Column("is_correct", pl.Boolean(), "Right, wrong, or null: could not be graded.", is_nullable=True)

GRADED_TRIALS = Table(
    "graded_trials",
    "family_domain",
    "Every trial of both models with its answer and verdict.",
    ("question_id", "role", "trial"),
    (
        QUESTION_ID,
        BENCHMARK,
        ROLE,
        TRIAL,
        MODEL,
        _PREDICTION,
        _VERDICT,
        _IS_CORRECT,
        Column("grader", pl.String(), "What compared the answers: the rule of an answer type, `panel`, or `none`."),
        Column("grader_version", pl.String(), "Version of the grading rules."),
    ),
)
GRADING_PANEL = Table(
    "grading_panel",
    "family_domain",
    "Distinct answers that a judge panel voted on: those no rule decided, and a draw of decided ones.",
    ("question_id", "prediction"),
    (
        QUESTION_ID,
        Column("prediction", pl.String(), "The answer found in one or more responses."),
        Column("answer", pl.String(), "Gold answer."),
        Column(
            "symbolic_verdict",
            pl.String(),
            "What the rules came to.",
            allowed=COMPARISON_VERDICTS,
        ),
        count("n_votes", "Members of the panel that gave a usable reply."),
        count("n_same", "Of these, how many hold both answers for the same."),
        Column("is_same", pl.Boolean(), "The majority; null for a tie or fewer than two votes.", is_nullable=True),
    ),
)
GRADING_DISAGREEMENTS = Table(
    "grading_disagreements",
    "family_domain",
    "Imported trials whose own verdict differs from ours.",
    ("question_id", "role", "trial"),
    (
        QUESTION_ID,
        ROLE,
        TRIAL,
        Column("answer", pl.String(), "Gold answer."),
        _PREDICTION,
        Column("recorded_correct", pl.Boolean(), "Verdict that came with the trace."),
        _IS_CORRECT,
        _VERDICT,
    ),
)

TABLES = (GRADED_TRIALS, GRADING_PANEL, GRADING_DISAGREEMENTS)
