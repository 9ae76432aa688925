"""Benchmarks read from a JSON Lines file of the user."""

import json

from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, Item, Row


def _read(row: Row, _domain: str) -> Item:
    question = row.text("question")
    context = row.values.get("answer_context")
    try:
        context = json.loads(context) if isinstance(context, str) else context
    except (ValueError, RecursionError):
        raise BadRowError("answer_context is not JSON") from None
    if context is not None and not isinstance(context, dict):
        raise BadRowError("answer_context is not a JSON object")
    prompt = row.optional("prompt") or question
    return Item(
        row.text("question_id"),
        question,
        prompt,
        row.text("answer"),
        row.text("answer_type"),
        context,
        row.optional("source_key"),
    )


def jsonl_benchmark(name: str) -> BenchmarkDefinition:
    """Define a benchmark that is read from a JSON Lines file; the name is chosen by the study."""
    return BenchmarkDefinition(
        name=name,
        dataset="",
        revision="",
        files=(),
        size=None,
        rows="all",
        answers="as each row's `answer_type` says",
        read=_read,
        example={
            "question_id": "sums-1",
            "question": "What is 2 + 3?",
            "prompt": "What is 2 + 3? Give the number in \\boxed{}.",
            "answer": "5",
            "answer_type": "numeric",
        },
        keeps_ids=True,
    )
