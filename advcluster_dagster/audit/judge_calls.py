"""Verify rows derived from judges' replies against the ledger: extraction, embedding, naming, review."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import polars as pl

from advcluster_dagster.audit.kept_calls import Found, KeptCalls
from advcluster_dagster.audit.records import Break
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.ledger.entries import LedgerEntry
from advcluster_dagster.ledger.validated import InvalidReply, Validated
from advcluster_dagster.models.protocol import EmbeddingReply
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.advantage_extraction.messages import extraction_messages
from advcluster_dagster.science.advantage_extraction.replies import ExtractionReply, parse_extraction_reply
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.science.semantic_clustering.messages import named_clusters, naming_messages, review_messages
from advcluster_dagster.science.semantic_clustering.replies import (
    CandidateReview,
    ClusterName,
    parse_candidate_review,
    parse_cluster_name,
)
from advcluster_dagster.study.partition import Partition

T = TypeVar("T")
_SCORES = ("distinctness", "granularity", "interpretability", "balance", "resolution", "total")
_ADVANTAGE = ("position", "advantage", "evidence", "larger_quote", "smaller_quote")
_ERROR = ("stage", "depth", "description", "quote")
Frames = Mapping[str, pl.DataFrame]


@dataclass
class JudgeCalls:
    """Matched calls by row key, and the breaks found."""

    table: str
    partition: Partition
    by_row: dict[tuple[Any, ...], str] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)

    def add(self, row: Mapping[str, Any], fault: str, table: str | None = None) -> None:
        """Record a break of one row."""
        self.breaks.append(Break(table or self.table, self.partition, fault, row))


@dataclass(frozen=True)
class _Asked:
    """The call to look up for a row: row key, messages from the shipped prompt, name and hash of the row's prompt."""

    row: Mapping[str, Any]
    messages: Sequence[Message]
    trial: int
    prompt: str
    prompt_hash: str | None


def check_extraction(partition: Partition, rows: Frames, entries: Sequence[LedgerEntry]) -> JudgeCalls:
    """Verify each pair's advantages and first error, or its failure, against the extractor's reply.

    Args:
        partition: the family and domain.
        rows: trace_pairs with the columns prompt, larger_response, smaller_response,
            larger_answer, smaller_answer; advantage_corpus, first_errors,
            extraction_failures.
        entries: ledger entries that the partition has used.
    """
    calls = JudgeCalls("advantage_corpus", partition)
    kept, pair_rows = KeptCalls(entries, parse_extraction_reply), _PairRows(rows)
    columns = ("prompt", "larger_response", "smaller_response", "larger_answer", "smaller_answer")
    for pair_id, *texts in rows["trace_pairs"].select("pair_id", *columns).iter_rows():
        if None in texts[:3]:
            continue  # its question or one of its traces is lost, which is reported separately
        messages = extraction_messages(load_prompt("extraction"), *texts)
        prompt_hash = pair_rows.prompt_hash(pair_id)
        asked = _Asked({"pair_id": pair_id}, messages, 0, "extraction", prompt_hash)
        call = _find(calls, kept, asked, lambda call, pair_id=pair_id: not pair_rows.faults(pair_id, call))
        for table, fault in pair_rows.faults(pair_id, call) if call else ():
            calls.add(asked.row, fault, table)
    return calls


class _PairRows:
    """The rows that the tables hold for each pair."""

    def __init__(self, rows: Frames) -> None:
        self._advantages: dict[str, list[dict[str, Any]]] = {}
        for row in rows["advantage_corpus"].sort("position").iter_rows(named=True):
            self._advantages.setdefault(row["pair_id"], []).append(row)
        self._errors = {row["pair_id"]: row for row in rows["first_errors"].iter_rows(named=True)}
        self._failures = {row["pair_id"]: row for row in rows["extraction_failures"].iter_rows(named=True)}

    def prompt_hash(self, pair_id: str) -> str | None:
        return next((row["prompt_hash"] for row in self._advantages.get(pair_id, ())), None)

    def faults(self, pair_id: str, call: Found[ExtractionReply]) -> list[tuple[str, str]]:
        """Return (table, fault) for each table whose rows of a pair differ from the reply."""
        reply = call.result.record if isinstance(call.result, Validated) else None
        error, failure = self._errors.get(pair_id), self._failures.get(pair_id)
        stage = reply.failure_stage if reply else ""
        replied_error = (stage, STAGE_DEPTHS[stage], reply.failure_description, reply.failure_quote) if reply else None
        replied_failure = (call.result.reason, call.result.raw_reply) if isinstance(call.result, InvalidReply) else None
        replied = [
            (place, item.advantage, item.evidence, item.larger_quote, item.smaller_quote)
            for place, item in enumerate(reply.advantages if reply else ())
        ]
        rows = self._advantages.get(pair_id, [])
        checks = (
            ("advantage_corpus", [tuple(row[name] for name in _ADVANTAGE) for row in rows], replied),
            ("advantage_corpus", {row["extractor"] for row in rows}, {call.request.model} if rows else set()),
            ("first_errors", error and tuple(error[name] for name in _ERROR), replied_error),
            ("extraction_failures", failure and (failure["reason"], failure["raw_reply"]), replied_failure),
        )
        fault = f"differs from the reply in the ledger (call {call.call_id[:12]})"
        return [(table, fault) for table, actual, expected in checks if actual != expected]


def check_embeddings(partition: Partition, rows: Frames, entries: Sequence[LedgerEntry]) -> JudgeCalls:
    """Verify each advantage's vector against the embedder's reply to its text, bit by bit."""
    calls = JudgeCalls("advantage_embeddings", partition)
    kept = {
        (entry.request["model"], entry.request["text"]): entry
        for entry in entries
        if isinstance(entry.outcome, EmbeddingReply)
    }
    texts = rows["advantage_corpus"].select("advantage_id", "advantage")
    joined = rows["advantage_embeddings"].join(texts, on="advantage_id", how="inner", maintain_order="left")
    vectors = joined["embedding"]
    for place, row in enumerate(joined.drop("embedding").iter_rows(named=True)):
        key = {"advantage_id": row["advantage_id"]}
        entry = kept.get((row["embedder"], row["advantage"]))
        if entry is None:
            calls.add(key, "the ledger has no call for its text that this table used")
            continue
        calls.by_row[row["advantage_id"],] = entry.call_id
        vector = np.asarray(vectors[place], dtype=np.float32)
        if isinstance(entry.outcome, EmbeddingReply) and vector.tobytes() != entry.outcome.vector.tobytes():
            calls.add(key, f"the vector differs from the reply in the ledger (call {entry.call_id[:12]})")
    return calls


def check_naming(
    partition: Partition, rows: Frames, entries: Sequence[LedgerEntry], prompt_hash: str | None
) -> JudgeCalls:
    """Verify each cluster's tag and definition against the summariser's reply."""
    calls = JudgeCalls("cluster_summaries", partition)
    kept = KeptCalls(entries, parse_cluster_name)
    texts = dict(rows["advantage_corpus"].select("advantage_id", "advantage").iter_rows())
    for row in rows["cluster_summaries"].iter_rows(named=True):
        if any(advantage_id not in texts for advantage_id in (*row["shown_ids"], *row["other_ids"])):
            continue  # an unresolved reference, which is reported separately
        key = {name: row[name] for name in ("pca_dim", "n_clusters", "cluster_id")}
        shown, others = ([texts[name] for name in row[column]] for column in ("shown_ids", "other_ids"))
        messages = naming_messages(load_prompt("naming"), shown, others)
        name_and_definition = (row["tag"], row["definition"])
        call = _find(
            calls,
            kept,
            _Asked(key, messages, 0, "naming", prompt_hash),
            lambda call, name_and_definition=name_and_definition: _replied_name(call) == name_and_definition,
        )
        if call and _replied_name(call) != name_and_definition:
            calls.add(key, f"tag or definition differs from the reply in the ledger (call {call.call_id[:12]})")
    return calls


def check_reviews(
    partition: Partition, rows: Frames, entries: Sequence[LedgerEntry], prompt_hash: str | None
) -> JudgeCalls:
    """Verify each review's scores against the reviewer's reply."""
    calls = JudgeCalls("candidate_reviews", partition)
    kept = KeptCalls(entries, parse_candidate_review)
    columns = ("cluster_id", "tag", "definition", "size")
    candidates = rows["cluster_summaries"].group_by("pca_dim", "n_clusters", maintain_order=True)
    messages = {
        key: review_messages(load_prompt("review"), named_clusters(clusters.select(columns).iter_rows()))
        for key, clusters in candidates
    }
    for row in rows["candidate_reviews"].iter_rows(named=True):
        key = {name: row[name] for name in ("pca_dim", "n_clusters", "review")}
        candidate_messages = messages.get((row["pca_dim"], row["n_clusters"]))
        scores = tuple(row[name] for name in _SCORES)
        if candidate_messages is None:
            calls.add(key, "cluster_summaries has no clusters of its candidate")
            continue
        call = _find(
            calls,
            kept,
            _Asked(key, candidate_messages, row["review"], "review", prompt_hash),
            lambda call, scores=scores: _replied_scores(call) == scores,
        )
        if call and _replied_scores(call) != scores:
            calls.add(key, f"scores differ from the reply in the ledger (call {call.call_id[:12]})")
    return calls


def _replied_name(call: Found[ClusterName]) -> tuple[str | None, str | None]:
    record = call.result.record if isinstance(call.result, Validated) else None
    return (record.tag, record.definition) if record else (None, None)


def _replied_scores(call: Found[CandidateReview]) -> tuple[int | None, ...]:
    record = call.result.record if isinstance(call.result, Validated) else None
    return tuple(getattr(record, name, None) for name in _SCORES)


def _find(calls: JudgeCalls, kept: KeptCalls[T], asked: _Asked, is_right: Any) -> Found[T] | None:
    """Return the call of a row; if the row has the shipped prompt's hash, the call's messages must match it."""
    template = load_prompt(asked.prompt)
    is_shipped = asked.prompt_hash == template.sha256
    call = kept.about(
        asked.messages,
        asked.trial,
        lambda call: is_right(call) and (not is_shipped or call.request.messages == tuple(asked.messages)),
    )
    if call is None:
        calls.add(asked.row, "the ledger has no call for it that this table used")
        return None
    calls.by_row[tuple(asked.row.values())] = call.call_id
    if is_shipped and call.request.messages != tuple(asked.messages):
        calls.add(
            asked.row, f"its call ({call.call_id[:12]}) does not match prompt {asked.prompt}, whose hash the row has"
        )
    return call


def other_prompts(hashes: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a note for each prompt that differs from the shipped one, so that its hash cannot be recomputed."""
    for name, kept in hashes.items():
        if kept is not None and kept != load_prompt(name).sha256:
            shipped = load_prompt(name).sha256
            yield f"prompt {name} was {kept[:12]}, the shipped one is {shipped[:12]}; the calls hold the former text"
