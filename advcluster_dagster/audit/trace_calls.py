"""Verify traces against their source: replies in the call ledger, or imported rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from advcluster_dagster.audit.files import readable_rows
from advcluster_dagster.audit.history import Materialisation
from advcluster_dagster.audit.records import Break
from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.contracts.inference import LARGER_TRACES
from advcluster_dagster.ledger.entries import LedgerEntry
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingReply
from advcluster_dagster.models.trace_answers import answer_columns
from advcluster_dagster.sources.imports.provenance import read_provenance
from advcluster_dagster.sources.imports.staging import traces_file
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

KEY = ("question_id", "trial")
_ANSWER = ("response", "finish_reason", "prompt_tokens", "completion_tokens", "sampling")
_IMPORTED = tuple(name for name in LARGER_TRACES.schema if name not in (*KEY, "family", "domain", "model"))
_CALL_SCHEMA = {
    "prompt": pl.String, "trial": pl.Int64, "model": pl.String, "call_id": pl.String, "created_at": pl.String,
    "is_retired": pl.Boolean, "response": pl.String, "finish_reason": pl.String, "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64, "sampling": pl.String,
}  # fmt: skip


def check_sampled(
    table: str, partition: Partition, traces: pl.DataFrame, questions: pl.DataFrame, entries: Sequence[LedgerEntry]
) -> tuple[pl.DataFrame, list[Break]]:
    """Find each trace's call and compare the trace with the reply.

    Args:
        table: larger_traces or smaller_traces.
        partition: their partition.
        traces: its rows.
        questions: rows of benchmark_questions of the domain.
        entries: ledger entries that the partition used.

    Returns:
        Columns question_id, trial, call_id (null if no call matches), and the breaks.
    """
    with_prompts = traces.join(
        questions.select("question_id", "prompt"), on="question_id", how="left", maintain_order="left"
    )
    calls = pl.DataFrame(list(_calls(entries)), schema=_CALL_SCHEMA, orient="row")
    matched = with_prompts.join(
        calls, on=["prompt", "trial", "model"], how="left", suffix="_recorded", maintain_order="left"
    )
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_recorded")) for name in _ANSWER}
    # A trial repeated with other settings has several calls: take the one whose answer differs least.
    matched = matched.with_columns(n_differing=pl.sum_horizontal(differs.values()))
    matched = matched.sort("n_differing", "is_retired", maintain_order=True).unique(KEY, keep="first")
    breaks = [
        *_unanswered(table, partition, matched.filter(pl.col("call_id").is_null())),
        *_differing(table, partition, matched.filter(pl.col("call_id").is_not_null()), differs),
    ]
    order = {key: place for place, key in enumerate(traces.select(KEY).iter_rows())}
    breaks.sort(key=lambda item: order[item.row["question_id"], item.row["trial"]] if item.row else -1)
    return matched.select(*KEY, "call_id"), breaks


def check_imported(
    home: Home, study: Study, table: str, role: Role, partition: Partition, traces: pl.DataFrame, event: Materialisation
) -> list[Break]:
    """Compare traces with the imported rows they were copied from."""
    breaks: list[Break] = []
    frames = [LARGER_TRACES.empty().drop("family", "domain")]
    for record in event.made_from.get("sources") or []:
        path = _import_of(home, study, partition, str(record["benchmark"]), role)
        name = f"imports of {record['benchmark']}, {path.name}"
        if not path.exists():
            breaks.append(Break(table, partition, f"{name}: missing"))
            continue
        rows, faults = readable_rows(path)
        breaks += [Break(table, partition, f"{name}: {fault}") for fault in faults]
        if not faults and read_provenance(path)["sha256"] != record["sha256"]:
            return [
                *breaks,
                Break(table, partition, f"{name}: imported again since these traces were copied from it"),
            ]
        frames += [rows] if rows.width else []
    imported = pl.concat(frames).filter(pl.col("trial") < study.trials).with_columns(is_there=True)
    matched = traces.join(imported, on=KEY, how="left", suffix="_recorded", maintain_order="left")
    for row in matched.filter(pl.col("is_there").is_null()).iter_rows(named=True):
        breaks.append(Break(table, partition, "its imported row no longer exists", {name: row[name] for name in KEY}))
    differs = {name: pl.col(name).ne_missing(pl.col(f"{name}_recorded")) for name in _IMPORTED}
    compared = matched.drop_nulls("is_there").with_columns(call_id=pl.lit(None, pl.String))
    return [*breaks, *_differing(table, partition, compared, differs)]


def _import_of(home: Home, study: Study, partition: Partition, benchmark: str, role: Role) -> Path:
    family, domain = str(partition.family), str(partition.domain)
    return traces_file(home.imports, study.study, family, domain, benchmark, role)


def lost_traces(table: str, partition: Partition, role: Role, rows: pl.DataFrame, graded: pl.DataFrame) -> list[Break]:
    """Return a break for each graded trace that is not among the readable rows."""
    lost = graded.filter(pl.col("role") == role).join(rows, on=KEY, how="anti", maintain_order="left")
    return [
        Break(table, partition, "the trace can no longer be read", row)
        for row in lost.select(KEY).iter_rows(named=True)
    ]


def _calls(entries: Sequence[LedgerEntry]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        request_values, outcome = entry.request, entry.outcome
        messages = request_values.get("messages") or []
        user_messages = [message for message in messages if message["role"] != "system"]
        if len(user_messages) == 1 and not isinstance(outcome, EmbeddingReply):
            request = ChatRequest(request_values["model"], (), request_values["sampling"], request_values["trial"])
            yield {
                "prompt": user_messages[0]["content"],
                "trial": request.trial,
                "model": request.model,
                "call_id": entry.call_id,
                "created_at": entry.created_at,
                "is_retired": entry.is_retired,
                **answer_columns(entry.provider, request, outcome),
            }


def _unanswered(table: str, partition: Partition, rows: pl.DataFrame) -> Iterator[Break]:
    for row in rows.select(KEY).iter_rows(named=True):
        yield Break(table, partition, "the ledger has no call for it that this table used", row)


def _differing(table: str, partition: Partition, matched: pl.DataFrame, differs: dict[str, pl.Expr]) -> Iterator[Break]:
    changed = matched.filter(pl.any_horizontal(differs.values())).with_columns(
        pl.concat_list(pl.when(rule).then(pl.lit(name)) for name, rule in differs.items())
        .list.drop_nulls()
        .alias("_is")
    )
    for row in changed.select(*KEY, "call_id", "_is").iter_rows(named=True):
        source = f"the ledger's reply (call {row['call_id'][:12]})" if row["call_id"] else "the imported row"
        yield Break(
            table, partition, f"{', '.join(row['_is'])} of the trace differs from {source}", {k: row[k] for k in KEY}
        )
