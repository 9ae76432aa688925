"""Vendor batches of calls, stored in the ledger's database so that a restart resumes them instead of paying again.

States: ``submitting`` before anything is sent, ``submitted`` once the vendor's id is known, ``collected`` when the
results were read, ``failed`` if they named a fault that stops the step (key, model, quota), ``lost`` if the vendor does
not know the batch. A call without an answer in the ledger belongs to its newest batch that is neither failed nor lost;
this includes collected ones, so results are read again until they are in the ledger.
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
    """Calls of one model that are submitted together.

    ``token`` is the local id, which the vendor stores with the batch; ``batch_id`` is the vendor's id, None while
    unknown. ``round`` is the number of failed batches of these calls before it. ``call_ids`` are in the order sent.
    """

    token: str
    model: str
    batch_id: str | None
    round: int
    call_ids: tuple[str, ...]


class BatchStore:
    """The batches of one server.

    Args:
        ledger: whose database stores the batches.
        server: kind and address of the vendor; batches of other servers are ignored.
    """

    def __init__(self, ledger: Ledger, server: str) -> None:
        self._ledger = ledger
        self._server = server

    def open(self, model: str, call_ids: Sequence[str], round_: int) -> Batch:
        """Store a batch that is about to be submitted; it is on disk when this returns."""
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
        """Store the vendor's id."""
        self._set(batch, state="submitted", batch_id=batch_id)
        return replace(batch, batch_id=batch_id)

    def end(self, batch: Batch, state: End) -> None:
        """Store the final state of a batch."""
        self._set(batch, state=state)

    def batches_of(self, call_ids: Sequence[str]) -> list[tuple[Batch, set[str]]]:
        """The newest batches of the calls, each with the ids of the calls whose newest batch it is."""
        with self._ledger.read() as connection:
            newest = self._newest(connection, call_ids)
            batches = []
            for token in dict.fromkeys(newest.values()):
                row = connection.execute(sa.select(BATCHES).where(BATCHES.c.token == token)).one()
                sent = sa.select(BATCH_CALLS.c.call_id).where(BATCH_CALLS.c.token == token)
                ids = tuple(connection.execute(sent.order_by(BATCH_CALLS.c.position)).scalars())
                newest_ids = {call_id for call_id in ids if newest.get(call_id) == token}
                batches.append((Batch(token, row.model, row.batch_id, row.round, ids), newest_ids))
        return batches

    def _newest(self, connection: sa.Connection, call_ids: Sequence[str]) -> dict[str, str]:
        """Token of each call's newest batch, ignoring batches from before the call was retired."""
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
    """Uncollected batches, oldest first: (server, the vendor's id or "", state, number of calls)."""
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
