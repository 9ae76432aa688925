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
PANEL_VOTES = Table(
    "panel_votes",
    "family_domain",
    "The vote of each member of the judge panel on each answer of `grading_panel`.",
    ("question_id", "prediction", "judge"),
    (
        QUESTION_ID,
        text("prediction", "The answer found in one or more responses."),
        text("judge", "Label of the member, else its model name; equal names are numbered in the panel's order."),
        flag("is_same", "Whether it holds both answers for the same; null without a usable reply.", is_nullable=True),
    ),
)
PANEL_AGREEMENTS = Table(
    "panel_agreements",
    "family_domain",
    "How far the members of the judge panel agree with each other, by pair and over all of them.",
    ("judge_a", "judge_b"),
    (
        text("judge_a", "First judge by name; `all` in the row over all judges."),
        text("judge_b", "Second judge by name; `all` in the row over all judges."),
        count("n_pairs", "Answers that both judges, or all, voted on."),
        rate("share", "Share of these with equal votes; over all judges, the mean share of agreeing pairs of judges."),
        number("kappa", "Cohen's kappa of the pair; over all judges, Fleiss' kappa. Null where all are alike.", -1, 1),
        number(
            "absolute_error",
            "Points between the accuracies that both judges give, mean over the models and median over benchmarks.",
            0,
            100,
        ),
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

TABLES = (GRADED_TRIALS, GRADING_PANEL, PANEL_VOTES, PANEL_AGREEMENTS, GRADING_DISAGREEMENTS)
