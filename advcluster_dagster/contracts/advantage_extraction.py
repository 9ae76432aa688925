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
    "A correct trace of the larger model beside a wrong one of the smaller model.",
    ("pair_id",),
    (
        PAIR_ID,
        QUESTION_ID,
        count("pair_index", "Pair within its question, counted from 0."),
        count("larger_trial", "Trial of the larger model, answered correctly."),
        count("smaller_trial", "Trial of the smaller model, answered wrongly."),
        text("smaller_verdict", "Verdict on that trial.", allowed=WRONG_VERDICTS),
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
        text("larger_quote", "Passage of the larger model's trace that shows it; empty where none was quoted."),
        text("smaller_quote", "Passage of the smaller model's trace; empty where none was quoted."),
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
        text("quote", "The passage of the smaller model's trace; empty where none was quoted."),
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

EVIDENCE_CHECKS = Table(
    "evidence_checks",
    "family_domain",
    "Whether the passages quoted for an advantage stand in the two traces.",
    ("advantage_id",),
    (
        ADVANTAGE_ID,
        count("n_quotes", "Passages quoted, of two."),
        flag("is_in_larger", "Whether larger_quote stands in the larger model's trace; null without a quote.", True),
        flag("is_in_smaller", "Whether smaller_quote stands in the smaller model's trace; null without a quote.", True),
        flag("is_supported", "At least one passage is quoted, and each one quoted stands in its trace."),
        rate("failure_position", "Where the pair's first error begins, share of the trace; null if not located."),
    ),
)

TABLES = (TRACE_PAIRS, ADVANTAGE_CORPUS, FIRST_ERRORS, EXTRACTION_FAILURES, EVIDENCE_CHECKS)
