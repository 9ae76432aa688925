"""Batches of calls handed to a provider, in the ledger's database, so that a restart picks them up instead of paying
again.

A batch is ``submitting`` before anything is sent, ``submitted`` once the vendor's id is known, ``collected`` when its
results were read, ``failed`` where they named a fault that stops the step (key, model, quota), ``lost`` where the
vendor knows nothing of it. A call that the ledger cannot answer yet belongs to the newest of its batches that is
neither failed nor lost, collected ones included: results are read as often as it takes until they are in the ledger.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import sqlalchemy as sa

from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import BATCH_CALLS, BATCHES, chunks_of, next_revisions, time_stamp

End = Literal["collected", "failed", "lost"]


@dataclass(frozen=True)
class Batch:
    """Calls of one model that went, or go, together.

    ``token`` is our own name for it, which the vendor keeps beside it; ``batch_id`` is the vendor's, None while it is
    not known. ``round`` counts from 0 the batches that failed on these calls before. ``call_ids`` stand in the order
    they were sent in.
    """

    token: str
    model: str
    batch_id: str | None
    round: int
    call_ids: tuple[str, ...]


class BatchStore:
    """The batches of one server.

    Args:
        ledger: in whose database they are kept.
        server: kind and address of the vendor; another server's batches are no business of this one.
    """

    def __init__(self, ledger: Ledger, server: str) -> None:
        self._ledger = ledger
        self._server = server

    def open(self, model: str, call_ids: Sequence[str], round_: int) -> Batch:
        """Note a batch that is about to be submitted; it is on disk when this returns."""
        batch = Batch(uuid.uuid4().hex, model, None, round_, tuple(call_ids))
        now = time_stamp()

        def work(connection: sa.Connection) -> Batch:
            row = {
                "token": batch.token, "server": self._server, "model": model, "state": "submitting", "round": round_,
                "created_at": now, "changed_at": now,
            }  # fmt: skip
            revisions = next_revisions(connection, call_ids)
            connection.execute(BATCHES.insert(), row)
            rows = [
                {"call_id": call_id, "token": batch.token, "position": position, "revision": revisions.get(call_id, 0)}
                for position, call_id in enumerate(call_ids)
            ]
            connection.execute(BATCH_CALLS.insert(), rows)
            return batch

        return self._ledger.write(work)

    def submitted(self, batch: Batch, batch_id: str) -> Batch:
        """Note the vendor's id."""
        self._set(batch, state="submitted", batch_id=batch_id)
        return replace(batch, batch_id=batch_id)

    def end(self, batch: Batch, state: End) -> None:
        """Note how a batch ended."""
        self._set(batch, state=state)

    def batches_of(self, call_ids: Sequence[str]) -> list[tuple[Batch, set[str]]]:
        """The batches to wait for, each with those of the calls whose newest batch it is."""
        with self._ledger.read() as connection:
            newest = self._newest(connection, call_ids)
            batches = []
            for token in dict.fromkeys(newest.values()):
                row = connection.execute(sa.select(BATCHES).where(BATCHES.c.token == token)).one()
                sent = sa.select(BATCH_CALLS.c.call_id).where(BATCH_CALLS.c.token == token)
                ids = tuple(connection.execute(sent.order_by(BATCH_CALLS.c.position)).scalars())
                mine = {call_id for call_id in ids if newest.get(call_id) == token}
                batches.append((Batch(token, row.model, row.batch_id, row.round, ids), mine))
        return batches

    def _newest(self, connection: sa.Connection, call_ids: Sequence[str]) -> dict[str, str]:
        """The token of each call's newest batch; a batch from before the call was retired counts no more."""
        newest: dict[str, str] = {}
        joined = BATCH_CALLS.join(BATCHES, BATCHES.c.token == BATCH_CALLS.c.token)
        for chunk in chunks_of(call_ids):
            revisions = next_revisions(connection, chunk)
            query = (
                sa.select(BATCH_CALLS.c.call_id, BATCH_CALLS.c.revision, BATCHES.c.token)
                .select_from(joined)
                .where(
                    BATCH_CALLS.c.call_id.in_(chunk),
                    BATCHES.c.server == self._server,
                    BATCHES.c.state.not_in(["failed", "lost"]),
                )
                .order_by(BATCHES.c.created_at, BATCHES.c.round)
            )
            for call_id, revision, token in connection.execute(query):
                if revision == revisions.get(call_id, 0):
                    newest[call_id] = token
        return newest

    def _set(self, batch: Batch, **values: str) -> None:
        update = BATCHES.update().where(BATCHES.c.token == batch.token).values(**values, changed_at=time_stamp())
        self._ledger.write(lambda connection: connection.execute(update))


def open_batches(ledger: Ledger) -> list[tuple[str, str, str, int]]:
    """Batches not collected yet, oldest first: (server, the vendor's id or "", state, calls in it)."""
    n_calls = sa.func.count(BATCH_CALLS.c.call_id)
    columns = (BATCHES.c.server, sa.func.coalesce(BATCHES.c.batch_id, ""), BATCHES.c.state)
    query = (
        sa.select(*columns, n_calls)
        .select_from(BATCHES.join(BATCH_CALLS, BATCH_CALLS.c.token == BATCHES.c.token))
        .where(BATCHES.c.state.in_(["submitting", "submitted"]))
        .group_by(BATCHES.c.token, *columns, BATCHES.c.created_at)
        .order_by(BATCHES.c.created_at)
    )
    with ledger.read() as connection:
        return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]
