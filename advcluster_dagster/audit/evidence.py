"""Nodes of a provenance tree: calls, questions, traces, pairs and advantages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from advcluster_dagster.audit.kept_calls import chat_request
from advcluster_dagster.audit.records import Node, Text
from advcluster_dagster.audit.references import Rows
from advcluster_dagster.audit.trace_calls import KEY
from advcluster_dagster.audit.verify import Verification
from advcluster_dagster.contracts.columns import ROLES, Role
from advcluster_dagster.ledger.entries import LedgerEntry, entries_of
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models.protocol import CallFailure, ChatReply
from advcluster_dagster.storage.table_files import scan_file
from advcluster_dagster.study.partition import Partition


@dataclass
class Evidence:
    """Builds nodes from rows; texts are truncated to ``limit`` characters, None keeps them whole."""

    verification: Verification
    ledger: Ledger
    limit: int | None = None
    _calls: dict[str, Node] = field(default_factory=dict)
    _indices: dict[Any, dict[Any, list[dict[str, Any]]]] = field(default_factory=dict)
    _texts: dict[tuple[str, Partition], dict[tuple[str, int], Text]] = field(default_factory=dict)

    def text(self, value: str | None) -> Text | None:
        """Return a text as shown in the chain."""
        return None if value is None else Text.of(value, self.limit)

    def rows(self, table: str, **values: Any) -> list[dict[str, Any]]:
        """Return the rows of a table with these column values."""
        place = {name: values.pop(name) for name in ("family", "domain") if name in values}
        names = tuple(values)
        index = (table, *place.items(), *names)
        if index not in self._indices:
            rows = self._rows.all(table).filter(pl.lit(True), **place)
            by_values: dict[Any, list[dict[str, Any]]] = {}
            for row in rows.iter_rows(named=True):
                by_values.setdefault(tuple(row[name] for name in names), []).append(row)
            self._indices[index] = by_values
        return self._indices[index].get(tuple(values.values()), [])

    def row(self, table: str, **values: Any) -> dict[str, Any]:
        """Return the first row with these column values, empty if there is none."""
        return next(iter(self.rows(table, **values)), {})

    @cached_property
    def _rows(self) -> Rows:
        return self.verification.rows

    def call(self, kind: str, table: str, partition: Partition, *key: Any, prompt: str | None = None) -> list[Node]:
        """Return the model call behind a row; empty if the row was imported or its call is lost."""
        call_id = self.verification.calls.get((table, partition), {}).get(key)
        if call_id is None:
            return []
        if call_id not in self._calls:
            self._fetch(self.verification.calls[table, partition].values())
        node = self._calls.get(call_id)
        if node is None:
            return []
        return [Node(kind, node.name, {**({"prompt_hash": prompt} if prompt else {}), **node.facts})]

    def _fetch(self, call_ids: Iterable[str]) -> None:
        for call_id, entry in entries_of(self.ledger, call_ids).items():
            self._calls[call_id] = Node("call", call_id, self._facts_of_call(entry))

    def _facts_of_call(self, entry: LedgerEntry) -> dict[str, Any]:
        request_values, outcome = entry.request, entry.outcome
        facts = {"model": request_values.get("model"), "provider": entry.provider, "asked_at": entry.created_at}
        if (request := chat_request(entry)) is None:
            return {**facts, "dimensions": request_values.get("dimensions")}
        messages = {f"{message.role}_message": self.text(message.content) for message in request.messages[:2]}
        facts |= {"sampling": dict(request.sampling), "trial": request.trial, "n_messages": len(request.messages)}
        if isinstance(outcome, CallFailure):
            return {**facts, **messages, "failure": outcome.reason}
        assert isinstance(outcome, ChatReply)
        return {**facts, **messages, "served_model": outcome.served_model, "reply": self.text(outcome.text)}

    def question(self, family: str, domain: str, question_id: str) -> Node:
        """Return a question's node: source, texts and both models' pass rates."""
        row = self.row("benchmark_questions", domain=domain, question_id=question_id)
        rates = self.row("pass_rate_table", family=family, domain=domain, question_id=question_id)
        names = ("benchmark", "source", "source_revision", "answer_type")
        facts = {
            **{name: row.get(name) for name in names},
            **{name: self.text(row.get(name)) for name in ("question", "prompt", "answer")},
            **{name: rates.get(name) for name in ("larger_pass_rate", "smaller_pass_rate", "pass_rate_gap")},
        }
        return Node("question", question_id, facts)

    def trace(self, role: Role, partition: Partition, question_id: str, trial: int) -> Node:
        """Return a trace's node: the trace, its verdict, and its call or the file it was imported from."""
        table, place = f"{role}_traces", {"family": partition.family, "domain": partition.domain}
        key = {"question_id": question_id, "trial": trial}
        row = self.row(table, **place, **key)
        verdict = self.row("graded_trials", **place, **key, role=role)
        names = ("model", "engine", "sampling", "finish_reason", "prompt_tokens", "completion_tokens")
        facts = {
            **{name: row.get(name) for name in names},
            **{name: verdict.get(name) for name in ("verdict", "grader", "grader_version")},
            "prediction": self.text(verdict.get("prediction")),
            "response": self._responses(table, partition).get((question_id, trial)),
        }
        listed = ("model", "provider", "asked_at", "sampling", "served_model")
        calls = [
            Node(node.kind, node.name, {name: node.facts.get(name) for name in listed})
            for node in self.call("call", table, partition, question_id, trial)
        ]
        imports = [] if calls else self._imports(table, partition, row.get("benchmark"))
        return Node(f"{role} trace", f"{question_id}, trial {trial}", facts, [*calls, *imports])

    def _imports(self, table: str, partition: Partition, benchmark: str | None) -> list[Node]:
        materialisation = self.verification.made[table].get(partition)
        records = (materialisation.made_from.get("sources") if materialisation else None) or []
        listed = ("source_format", "sha256", "n_rows", "models")
        return [
            Node("import", str(record.get("file_name")), {name: record.get(name) for name in listed})
            for record in records
            if record.get("benchmark") == benchmark
        ]

    def _responses(self, table: str, partition: Partition) -> dict[tuple[str, int], Text]:
        """Return the responses of the traces that occur in pairs, by question and trial."""
        if (table, partition) not in self._texts:
            self._texts[table, partition] = dict(self._read_responses(table, partition))
        return self._texts[table, partition]

    def _read_responses(self, table: str, partition: Partition) -> Iterator[tuple[tuple[str, int], Text]]:
        file, pairs = (
            self.verification.files[table][partition],
            self.verification.files.get("trace_pairs", {}).get(partition),
        )
        if not file.is_sound or pairs is None:
            return
        trial = pl.col(f"{table.removesuffix('_traces')}_trial").alias("trial")
        needed = pairs.rows.select("question_id", trial).lazy()
        texts = scan_file(file.path).join(needed, on=KEY, how="semi").select(*KEY, "response").drop_nulls()
        for question_id, number, response in texts.collect().iter_rows():
            yield (question_id, number), Text.of(response, self.limit)

    def pair(self, partition: Partition, pair_id: str) -> Node:
        """Return a pair's node: question, both traces, first error and extraction call."""
        place = {"family": partition.family, "domain": partition.domain}
        row = self.row("trace_pairs", **place, pair_id=pair_id)
        if not row:
            return Node("pair", pair_id)
        error = self.row("first_errors", **place, pair_id=pair_id)
        prompt = self.row("advantage_corpus", **place, pair_id=pair_id).get("prompt_hash")
        facts = {
            "first_error": error.get("stage"),
            "depth": error.get("depth"),
            "description": self.text(error.get("description")),
        }
        question_id = row["question_id"]
        return Node(
            "pair",
            pair_id,
            facts,
            [
                self.question(str(partition.family), str(partition.domain), question_id),
                *(self.trace(role, partition, question_id, row[f"{role}_trial"]) for role in ROLES),
                *self.call("extraction call", "advantage_corpus", partition, pair_id, prompt=prompt),
            ],
        )

    def advantage(self, partition: Partition, advantage_id: str) -> Node:
        """Return an advantage's node: text, evidence, whether it was kept, embedding call and pair."""
        place = {"family": partition.family, "domain": partition.domain}
        row = self.row("advantage_corpus", **place, advantage_id=advantage_id)
        kept = self.row("deduplicated_advantages", **place, advantage_id=advantage_id)
        facts = {
            **{name: self.text(row.get(name)) for name in ("advantage", "evidence")},
            **{name: row.get(name) for name in ("rule_violations", "extractor")},
            **{name: kept.get(name) for name in ("is_kept", "duplicate_of", "similarity")},
        }
        children = [
            self.pair(partition, str(row.get("pair_id"))),
            *self.call("embedding call", "advantage_embeddings", partition, advantage_id),
        ]
        return Node("advantage", advantage_id, facts, children if row else ())
