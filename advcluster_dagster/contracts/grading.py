"""Tables of graded trials (paper section 3.2.1, the indicator c)."""

import polars as pl

from advcluster_dagster.contracts.columns import (
    BENCHMARK,
    MODEL,
    QUESTION_ID,
    ROLE,
    TRIAL,
    count,
    flag,
    number,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import COMPARISON_VERDICTS, VERDICTS

_VERDICT = Column("verdict", pl.String(), "Verdict on the trial.", allowed=VERDICTS)
_PREDICTION = Column(
    "prediction", pl.String(), "Answer extracted from the response; null if there is none.", is_nullable=True
)
_IS_CORRECT = Column(
    "is_correct", pl.Boolean(), "Whether the answer is correct; null if it could not be graded.", is_nullable=True
)

GRADED_TRIALS = Table(
    "graded_trials",
    "family_domain",
    "Every trial of both models with its extracted answer and verdict.",
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
        Column("grader", pl.String(), "What compared the answers: the rule of the answer type, `panel`, or `none`."),
        Column("grader_version", pl.String(), "Version of the grading rules."),
    ),
)
GRADING_PANEL = Table(
    "grading_panel",
    "family_domain",
    "Distinct answers judged by the panel: those the rules left undecided and a sample of decided ones.",
    ("question_id", "prediction"),
    (
        QUESTION_ID,
        Column("prediction", pl.String(), "Answer extracted from one or more responses."),
        Column("answer", pl.String(), "Gold answer."),
        Column(
            "symbolic_verdict",
            pl.String(),
            "Verdict of the rules.",
            allowed=COMPARISON_VERDICTS,
        ),
        count("n_votes", "Panel members with a usable reply."),
        count("n_same", "Of these, members that consider the two answers equivalent."),
        Column("is_same", pl.Boolean(), "Majority vote; null for a tie or fewer than two votes.", is_nullable=True),
    ),
)
PANEL_VOTES = Table(
    "panel_votes",
    "family_domain",
    "The vote of each member of the judge panel on each answer of `grading_panel`.",
    ("question_id", "prediction", "judge"),
    (
        QUESTION_ID,
        text("prediction", "Answer extracted from one or more responses."),
        text("judge", "Label of the member, else its model name; equal names are numbered in panel order."),
        flag(
            "is_same", "Whether it considers the two answers equivalent; null without a usable reply.", is_nullable=True
        ),
    ),
)
PANEL_AGREEMENTS = Table(
    "panel_agreements",
    "family_domain",
    "Agreement between the members of the judge panel, per pair and over all of them.",
    ("judge_a", "judge_b"),
    (
        text("judge_a", "First judge by name; `all` in the row over all judges."),
        text("judge_b", "Second judge by name; `all` in the row over all judges."),
        count("n_pairs", "Answers that both judges (or all judges) voted on."),
        rate("share", "Share of these with equal votes; over all judges, the mean share of agreeing pairs of judges."),
        number(
            "kappa", "Cohen's kappa of the pair; over all judges, Fleiss' kappa. Null if all votes are equal.", -1, 1
        ),
        number(
            "absolute_error",
            "Difference in points between the accuracies by the two judges: mean over models, median over benchmarks.",
            0,
            100,
        ),
    ),
)
GRADING_DISAGREEMENTS = Table(
    "grading_disagreements",
    "family_domain",
    "Imported trials whose recorded verdict differs from the computed one.",
    ("question_id", "role", "trial"),
    (
        QUESTION_ID,
        ROLE,
        TRIAL,
        Column("answer", pl.String(), "Gold answer."),
        _PREDICTION,
        Column("recorded_correct", pl.Boolean(), "Verdict recorded in the source of the trace."),
        _IS_CORRECT,
        _VERDICT,
    ),
)

TABLES = (GRADED_TRIALS, GRADING_PANEL, PANEL_VOTES, PANEL_AGREEMENTS, GRADING_DISAGREEMENTS)
