"""Tables of questions and traces (paper section 4.1)."""

import polars as pl

from advcluster_dagster.contracts.columns import BENCHMARK, MODEL, QUESTION_ID, SOURCE_KEY, TRIAL
from advcluster_dagster.contracts.table import Column, Table

ANSWER_TYPES = ("numeric", "choice", "choices", "math", "python_output", "python_input", "text")

BENCHMARK_QUESTIONS = Table(
    "benchmark_questions",
    "domain",
    "Questions of the domain's benchmarks with their gold answers.",
    ("question_id",),
    (
        QUESTION_ID,
        BENCHMARK,
        Column("question", pl.String(), "Text of the problem."),
        Column("prompt", pl.String(), "Prompt sent to the models; judges see the same text."),
        Column("answer", pl.String(), "Gold answer."),
        Column(
            "answer_type",
            pl.String(),
            "Rule by which an answer is compared with the gold answer.",
            allowed=ANSWER_TYPES,
        ),
        Column(
            "answer_context",
            pl.String(),
            "JSON: tolerance and its kind, unit, options, code, input, output; null if there are none.",
            is_nullable=True,
        ),
        Column("source", pl.String(), "Dataset or file that the question comes from."),
        Column("source_revision", pl.String(), "Revision or content hash of the source."),
        SOURCE_KEY,
    ),
)

_TRACE_COLUMNS = (
    QUESTION_ID,
    BENCHMARK,
    TRIAL,
    MODEL,
    Column(
        "response",
        pl.String(),
        "Reasoning trace including the final answer; null when the call failed.",
        is_nullable=True,
    ),
    Column("finish_reason", pl.String(), "Why generation stopped; `length` at the token limit.", is_nullable=True),
    Column("prompt_tokens", pl.Int64(), "Tokens of the prompt.", is_nullable=True, minimum=0),
    Column("completion_tokens", pl.Int64(), "Tokens of the response.", is_nullable=True, minimum=0),
    Column(
        "engine",
        pl.String(),
        "Origin of the trace: the provider with the version it reports, or a file.",
        is_nullable=True,
    ),
    Column("sampling", pl.String(), "Sampling settings as JSON.", is_nullable=True),
    Column("recorded_correct", pl.Boolean(), "Verdict recorded in the source of an imported trace.", is_nullable=True),
)

LARGER_TRACES = Table(
    "larger_traces",
    "family_domain",
    "Reasoning traces of the larger model, T trials per question.",
    ("question_id", "trial"),
    _TRACE_COLUMNS,
)
SMALLER_TRACES = Table(
    "smaller_traces",
    "family_domain",
    "Reasoning traces of the smaller model, T trials per question.",
    ("question_id", "trial"),
    _TRACE_COLUMNS,
)

TABLES = (BENCHMARK_QUESTIONS, LARGER_TRACES, SMALLER_TRACES)
