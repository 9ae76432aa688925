"""Batch API of OpenAI: upload a file of requests, download files of results."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import openai
from openai.types import Batch as VendorBatch
from openai.types.chat import ChatCompletion

from advcluster_dagster.ledger.batches import Batch
from advcluster_dagster.models.batch_chat import BatchLostError, BatchWire, RowOutcome
from advcluster_dagster.models.faults import ErrorReplyError, StatusFault, UnreadableReplyError
from advcluster_dagster.models.openai_compatible import chat_body, read_completion
from advcluster_dagster.models.openai_connection import OpenAIConnection, status_fault
from advcluster_dagster.models.protocol import ChatRequest

_ENDPOINT: Final = "/v1/chat/completions"
_TOKEN_NAME = "advcluster"
_ENDED = {"completed", "failed", "expired", "cancelled"}
_MOST_LISTED = 1000


class OpenAIBatches(BatchWire[OpenAIConnection]):
    """OpenAI's batches; the token is in the batch's metadata."""

    most_rows = 20_000
    most_characters = 50_000_000

    async def submit(self, model: str, rows: Mapping[str, ChatRequest], token: str) -> str:
        """Upload the requests and create a batch."""
        client, form = self.connection.client, self.chat.form
        lines = (
            {"custom_id": call_id, "method": "POST", "url": _ENDPOINT, "body": chat_body(request, form)}
            for call_id, request in rows.items()
        )
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        file = await client.files.create(file=(f"{token}.jsonl", content), purpose="batch")
        created = await client.batches.create(
            completion_window="24h",
            endpoint=_ENDPOINT,
            input_file_id=_id_of(file),
            metadata={_TOKEN_NAME: token},
        )
        return _id_of(created)

    async def find(self, token: str) -> str | None:
        """The batch with this token in its metadata, among the newest ones."""
        n_listed = 0
        try:
            async for batch in self.connection.client.batches.list(limit=100):
                if (batch.metadata or {}).get(_TOKEN_NAME) == token:
                    return _id_of(batch)
                n_listed += 1
                if n_listed >= _MOST_LISTED:
                    break
        except openai.NotFoundError:  # the server cannot list batches
            pass
        return None

    async def collect(self, batch: Batch) -> dict[str, RowOutcome] | None:
        """Retrieve a batch; read its result files if it has ended."""
        client = self.connection.client
        try:
            retrieved = await client.batches.retrieve(batch.batch_id or "")
        except openai.NotFoundError:
            raise BatchLostError from None
        if not isinstance(retrieved, VendorBatch):
            raise UnreadableReplyError("not a batch")
        if retrieved.status not in _ENDED:
            return None
        results: dict[str, RowOutcome] = {}
        for file_id in (retrieved.error_file_id, retrieved.output_file_id):
            if file_id:
                content = await client.files.content(file_id)
                results.update(
                    self._read_rows(content.content.decode("utf-8", "replace").split("\n"), set(batch.call_ids))
                )
        if not results and retrieved.status == "failed":
            fault = _batch_fault(retrieved)
            results = dict.fromkeys(batch.call_ids, fault)
        return results

    def _read_rows(self, lines: Iterable[str], call_ids: set[str]) -> Iterator[tuple[str, RowOutcome]]:
        """Yield the rows that can be read; others count as missing."""
        for line in lines:
            try:
                row = json.loads(line)
                call_id = row["custom_id"]
                if call_id in call_ids:
                    yield call_id, _read_row(row)
            except self.connection.faults:
                continue


def _read_row(row: Mapping[str, Any]) -> RowOutcome:
    response = row.get("response") or {}
    status, body = response.get("status_code"), response.get("body") or {}
    if status != 200:
        return _fault(status if isinstance(status, int) else 500, row.get("error") or body)
    try:
        return read_completion(ChatCompletion.construct(**body))
    except ErrorReplyError as error:
        return error.fault
    except UnreadableReplyError as error:
        return StatusFault(500, str(error))


def _batch_fault(batch: VendorBatch) -> StatusFault:
    """Fault of a batch that failed as a whole, from its first error."""
    errors = batch.errors.data if batch.errors is not None else None
    return _fault(500, errors[0].to_dict(warnings=False) if errors else None)


def _fault(status: int, body: object) -> StatusFault:
    fault = status_fault(status, body)
    return fault if body else replace(fault, message="no reason given")


def _id_of(created: object) -> str:
    identifier = getattr(created, "id", None)
    if not isinstance(identifier, str) or not identifier:
        raise UnreadableReplyError("the reply contains no id")
    return identifier
