"""Batch API of Gemini, with inline requests and results."""

from collections.abc import Mapping

from google.genai import errors, types

from advcluster_dagster.ledger.batches import Batch
from advcluster_dagster.models.batch_chat import BatchLostError, BatchWire, RowOutcome
from advcluster_dagster.models.faults import StatusFault, UnreadableReplyError
from advcluster_dagster.models.google_connection import GoogleConnection
from advcluster_dagster.models.google_genai import config_of, contents_of, read_response
from advcluster_dagster.models.protocol import ChatRequest

_KEY_NAME = "key"
_MOST_LISTED = 1000
#: HTTP statuses of the gRPC codes in row errors; 500 for other codes.
_STATUSES = {3: 400, 5: 404, 7: 403, 8: 429, 9: 400, 11: 400, 16: 401}


class GoogleBatches(BatchWire[GoogleConnection]):
    """Gemini's batches; the token is the batch's display name."""

    most_rows = 5_000
    most_characters = 8_000_000

    async def submit(self, model: str, rows: Mapping[str, ChatRequest], token: str) -> str:
        """Create a batch of inline requests."""
        requests = [
            types.InlinedRequest(
                contents=list(contents_of(request)),
                config=config_of(request, self.chat.form, self.connection.name),
                metadata={_KEY_NAME: call_id},
            )
            for call_id, request in rows.items()
        ]
        job = await self.connection.client.batches.create(
            model=model,
            src=types.BatchJobSource(inlined_requests=requests),
            config=types.CreateBatchJobConfig(display_name=token),
        )
        if not job.name:
            raise UnreadableReplyError("the reply contains no batch name")
        return job.name

    async def find(self, token: str) -> str | None:
        """The batch with this display name, among the newest ones."""
        n_listed = 0
        try:
            async for job in await self.connection.client.batches.list(config=types.ListBatchJobsConfig(page_size=100)):
                if job.display_name == token:
                    return job.name
                n_listed += 1
                if n_listed >= _MOST_LISTED:
                    break
        except errors.ClientError as error:
            if error.code != 404:  # the server cannot list batches
                raise
        return None

    async def collect(self, batch: Batch) -> dict[str, RowOutcome] | None:
        """Retrieve a batch; read its results if it has ended."""
        try:
            job = await self.connection.client.batches.get(name=batch.batch_id or "")
        except errors.ClientError as error:
            if error.code == 404:
                raise BatchLostError from None
            raise
        if not job.done:
            return None
        rows = (job.dest.inlined_responses if job.dest else None) or []
        if not rows:
            reason = job.error.message if job.error else None
            fault = StatusFault(500, reason or f"the batch ended as {job.state.value if job.state else 'unknown'}")
            return dict.fromkeys(batch.call_ids, fault)
        keys = [(row.metadata or {}).get(_KEY_NAME) for row in rows]
        if None in keys and len(rows) == len(batch.call_ids):
            keys = list(batch.call_ids)  # results are in the order of the requests
        return {key: _read_row(row) for key, row in zip(keys, rows, strict=True) if key is not None}


def _read_row(row: types.InlinedResponse) -> RowOutcome:
    if row.response is None:
        code = row.error.code if row.error and row.error.code else 0
        message = (row.error.message if row.error else None) or "no reason given"
        return StatusFault(code if code >= 400 else _STATUSES.get(code, 500), message)
    try:
        return read_response(row.response)
    except UnreadableReplyError as error:
        return StatusFault(500, str(error))
