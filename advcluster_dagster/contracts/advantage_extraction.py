"""Tables of the second stage: pairs, advantages, first errors, failures (paper section 3.2.2, appendix A.5)."""

import polars as pl

from advcluster_dagster.contracts.columns import (
    ADVANTAGE_ID,
    PAIR_ID,
    PROMPT_HASH,
    QUESTION_ID,
    count,
    flag,
    rate,
    text,
)
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS, WRONG_VERDICTS

TRACE_PAIRS = Table(
    "trace_pairs",
    "family_domain",
    "Pairs of a correct trace of the larger model and a wrong trace of the smaller model.",
    ("pair_id",),
    (
        PAIR_ID,
        QUESTION_ID,
        count("pair_index", "Index of the pair within its question, from 0."),
        count("larger_trial", "Trial of the larger model, answered correctly."),
        count("smaller_trial", "Trial of the smaller model, answered wrongly."),
        text("smaller_verdict", "Verdict on that trial.", allowed=WRONG_VERDICTS),
    ),
)
ADVANTAGE_CORPUS = Table(
    "advantage_corpus",
    "family_domain",
    "Advantage descriptions as returned by the extractor.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        PAIR_ID,
        QUESTION_ID,
        Column("position", pl.Int64(), "Position in the extractor's reply, from 0.", minimum=0, maximum=4),
        Column("advantage", pl.String(), "What the larger model does better, in general words."),
        Column("evidence", pl.String(), "The contrast between the two traces that supports it."),
        text("larger_quote", "Supporting passage of the larger model's trace; empty if none was quoted."),
        text("smaller_quote", "Supporting passage of the smaller model's trace; empty if none was quoted."),
        Column(
            "rule_violations", pl.List(pl.String()), "Names of the style rules that the text violates; the row is kept."
        ),
        Column("extractor", pl.String(), "Model that wrote it."),
        PROMPT_HASH,
    ),
)
FIRST_ERRORS = Table(
    "first_errors",
    "family_domain",
    "First error of the smaller model's trace in each pair.",
    ("pair_id",),
    (
        PAIR_ID,
        QUESTION_ID,
        Column("stage", pl.String(), "Stage of Newman's error analysis.", allowed=tuple(STAGE_DEPTHS)),
        Column("depth", pl.Int64(), "Number of the stage, 1 Reading to 5 Encoding.", minimum=1, maximum=5),
        Column("description", pl.String(), "Description of the error."),
        text("quote", "Passage of the smaller model's trace; empty if none was quoted."),
    ),
)
EXTRACTION_FAILURES = Table(
    "extraction_failures",
    "family_domain",
    "Pairs without a usable extraction; they remain listed until they are requested again.",
    ("pair_id",),
    (
        PAIR_ID,
        Column("reason", pl.String(), "Name of the failure."),
        Column("detail", pl.String(), "One-line cause, quoting the server if it answered; may be empty."),
        Column("raw_reply", pl.String(), "Last reply, verbatim; empty if there was none."),
    ),
)

EVIDENCE_CHECKS = Table(
    "evidence_checks",
    "family_domain",
    "Whether the passages quoted for an advantage occur in the two traces.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        count("n_quotes", "Number of passages quoted, at most two."),
        flag("is_in_larger", "Whether larger_quote occurs in the larger model's trace; null without a quote.", True),
        flag("is_in_smaller", "Whether smaller_quote occurs in the smaller model's trace; null without a quote.", True),
        flag("is_supported", "Whether at least one passage is quoted and every quoted passage occurs in its trace."),
        rate("failure_position", "Start of the pair's first error as a share of the trace; null if not located."),
    ),
)

TABLES = (TRACE_PAIRS, ADVANTAGE_CORPUS, FIRST_ERRORS, EXTRACTION_FAILURES, EVIDENCE_CHECKS)
