"""Read whole entries of the call ledger by use or id."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import CALLS, USES, Outcome, Use, chunks_of, decode_outcome
from advcluster_dagster.models.protocol import CallFailure

_COLUMNS = (
    CALLS.c.call_id, CALLS.c.kind, CALLS.c.provider, CALLS.c.request, CALLS.c.reply, CALLS.c.failure,
    CALLS.c.created_at, CALLS.c.is_retired,
)  # fmt: skip


@dataclass(frozen=True)
class LedgerEntry:
    """A stored call; ``request`` holds model, messages, sampling, trial ..., ``created_at`` is UTC.

    An entry whose text cannot be decoded has the outcome ``unreadable_entry``.
    """

    call_id: str
    request: dict[str, Any]
    outcome: Outcome
    provider: str
    created_at: str
    is_retired: bool


def entries_used(ledger: Ledger, use: Use) -> list[LedgerEntry]:
    """All entries used by an asset partition (study, asset, partition), including retired ones, oldest first."""
    study, asset, partition = use
    is_used = (USES.c.study == study) & (USES.c.asset == asset) & (USES.c.partition == partition)
    query = sa.select(*_COLUMNS).join(USES, USES.c.call_id == CALLS.c.call_id).where(is_used)
    with ledger.read() as connection:
        rows = connection.execute(query.order_by(CALLS.c.created_at, CALLS.c.call_id, CALLS.c.revision))
        return [_entry(row) for row in rows]


def entries_of(ledger: Ledger, call_ids: Iterable[str]) -> dict[str, LedgerEntry]:
    """The latest entry of each of these calls; unknown calls are absent."""
    entries = {}
    with ledger.read() as connection:
        for chunk in chunks_of(call_ids):
            query = sa.select(*_COLUMNS).where(CALLS.c.call_id.in_(chunk)).order_by(CALLS.c.revision)
            entries.update({row.call_id: _entry(row) for row in connection.execute(query)})
    return entries


def _entry(row: Any) -> LedgerEntry:
    try:
        request, outcome = json.loads(row.request), decode_outcome(row.kind, row.reply, row.failure)
    except (ValueError, TypeError, KeyError) as error:
        request, outcome = {}, CallFailure("unreadable_entry", " ".join(str(error).split()))
    return LedgerEntry(row.call_id, request, outcome, row.provider, row.created_at, row.is_retired)
