"""Tables of the second stage: pairs, advantages, first errors, failures (paper section 3.2.2, appendix A.5)."""

import polars as pl

from advcluster_dagster.contracts.columns import ADVANTAGE_ID, PAIR_ID, PROMPT_HASH, QUESTION_ID, count
from advcluster_dagster.contracts.table import Column, Table
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS

TRACE_PAIRS = Table(
    "trace_pairs",
    "family_domain",
    "A correct trace of the larger model beside a wrong one of the smaller model.",
    ("pair_id",),
    (
        PAIR_ID,
        QUESTION_ID,
        count("pair_index", "Pair within its question, counted from 0."),
        count("larger_trial", "Trial of the larger model, answered correctly."),
        count("smaller_trial", "Trial of the smaller model, answered wrongly."),
    ),
)
ADVANTAGE_CORPUS = Table(
    "advantage_corpus",
    "family_domain",
    "Advantage descriptions as the extractor gave them.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        PAIR_ID,
        QUESTION_ID,
        Column("position", pl.Int64(), "Place in the extractor's reply, counted from 0.", minimum=0, maximum=4),
        Column("advantage", pl.String(), "What the larger model does better, in general words."),
        Column("evidence", pl.String(), "The contrast in the two traces that shows it."),
        Column("rule_violations", pl.List(pl.String()), "Names of the style rules the text breaks; kept all the same."),
        Column("extractor", pl.String(), "Model that wrote it."),
        PROMPT_HASH,
    ),
)
FIRST_ERRORS = Table(
    "first_errors",
    "family_domain",
    "Where the smaller model of a pair goes wrong first.",
    ("pair_id",),
    (
        PAIR_ID,
        QUESTION_ID,
        Column("stage", pl.String(), "Stage of Newman's error analysis.", allowed=tuple(STAGE_DEPTHS)),
        Column("depth", pl.Int64(), "Number of the stage, 1 Reading to 5 Encoding.", minimum=1, maximum=5),
        Column("description", pl.String(), "What goes wrong there."),
    ),
)
EXTRACTION_FAILURES = Table(
    "extraction_failures",
    "family_domain",
    "Pairs without a usable extraction; they stay until asked for again.",
    ("pair_id",),
    (
        PAIR_ID,
        Column("reason", pl.String(), "Name of the failure."),
        Column("detail", pl.String(), "What was wrong, in the server's words where it answered; one line, or empty."),
        Column("raw_reply", pl.String(), "The last reply as it came; empty when none did."),
    ),
)

TABLES = (TRACE_PAIRS, ADVANTAGE_CORPUS, FIRST_ERRORS, EXTRACTION_FAILURES)
