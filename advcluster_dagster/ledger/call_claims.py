"""Claims on calls before they are sent, so that no two processes pay for the same call.

A claim is released in the transaction that records its outcome (see ``ledger``).

An owner renews its lease every few seconds. On the same machine an ended process is detected at once, and a running one
counts as gone only if an observer saw no renewal for a whole lease, so clock changes and suspended machines have no
effect. On other machines the lease's expiry decides, by the database server's clock.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import sqlalchemy as sa

from advcluster_dagster.ledger.database import fault_of
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.tables import CALLS, CLAIMS, OWNERS, chunks_of, time_stamp

LEASE_S = 20.0
_BEAT_S = 5.0
_POLL_S = 0.5
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claimed:
    """Result of claiming calls: ids granted to this process and ids answered meanwhile; others hold the rest."""

    granted: frozenset[str]
    answered: frozenset[str]


class CallClaims:
    """Claims of a step that calls a model; a context manager that releases the remaining claims. Thread-safe.

    Args:
        ledger: whose database stores the claims.
        beat_s: seconds between renewals of the lease.
    """

    def __init__(self, ledger: Ledger, beat_s: float = _BEAT_S) -> None:
        self.owner = uuid.uuid4().hex
        self._ledger = ledger
        self._beat_s = beat_s
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="ledger-claims", daemon=True)
        # By observed owner: its number of renewals, and when that number was first observed.
        self._seen: dict[str, tuple[int, float]] = {}

    def __enter__(self) -> Self:
        pid = os.getpid()
        row = {
            "owner": self.owner, "host": socket.gethostname(), "place": _place(), "pid": pid,
            "process_start": start_of(pid) or "", "started_at": time_stamp(), "n_beats": 0,
        }  # fmt: skip
        self._ledger.write(
            lambda connection: connection.execute(
                OWNERS.insert(), {**row, "expires_at": self._now(connection) + LEASE_S}
            )
        )
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._heart.join()
        self._quietly(lambda connection: _remove(connection, [self.owner]))

    def take(self, call_ids: Sequence[str]) -> Claimed:
        """Claim the calls that no other process has claimed, in one transaction."""
        requested = sorted(set(call_ids))

        def work(connection: sa.Connection) -> Claimed:
            if self._ledger.is_shared:  # serialise, as SQLite does, to rule out deadlocks
                key = sa.func.hashtext("claims of calls")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            claimed = self._insert(connection, requested)
            rest = [call_id for call_id in requested if call_id not in claimed]
            if rest and self._remove_gone(connection, rest):
                claimed |= self._insert(connection, rest)
            # Looked up after claiming: an answer is stored in the transaction that releases its claim.
            query = sa.select(CALLS.c.call_id).where(CALLS.c.call_id.in_(requested), ~CALLS.c.is_retired)
            answered = set(connection.execute(query).scalars())
            if claimed & answered:
                connection.execute(CLAIMS.delete().where(CLAIMS.c.call_id.in_(claimed & answered)))
            return Claimed(frozenset(claimed - answered), frozenset(answered))

        return self._ledger.write(work) if requested else Claimed(frozenset(), frozenset())

    def wait(self, call_ids: Collection[str]) -> None:
        """Wait until one of these calls has no live claim, which means that it is answered or free."""
        is_logged = False
        while call_ids and all(self._is_held(chunk) for chunk in chunks_of(call_ids)):
            if not is_logged:
                _LOG.info("%d calls are in flight in another process; waiting for its replies", len(call_ids))
                is_logged = True
            time.sleep(_POLL_S)

    def _is_held(self, call_ids: Sequence[str]) -> bool:
        """Whether all of these calls have a live claim."""
        with self._ledger.read() as connection:
            owners = self._owners_of(connection, call_ids)
            n_claimed = sum(n_calls for n_calls, _ in owners.values())
            now = self._now(connection)
            return n_claimed == len(call_ids) and not any(self._is_gone(row, now) for _, row in owners.values())

    def _insert(self, connection: sa.Connection, call_ids: Sequence[str]) -> set[str]:
        """Insert claims for the calls without one; return their ids."""
        rows = [{"call_id": call_id, "owner": self.owner} for call_id in call_ids]
        insert = self._ledger.insert(CLAIMS).values(rows).on_conflict_do_nothing().returning(CLAIMS.c.call_id)
        return set(connection.execute(insert).scalars())

    def _remove_gone(self, connection: sa.Connection, call_ids: Sequence[str]) -> bool:
        """Remove the claims of owners that are gone; return whether there were any."""
        now = self._now(connection)
        owners = self._owners_of(connection, call_ids)
        gone = [owner for owner, (_, row) in owners.items() if self._is_gone(row, now)]
        _remove(connection, gone)
        return bool(gone)

    def _owners_of(self, connection: sa.Connection, call_ids: Sequence[str]) -> dict[str, tuple[int, Any]]:
        """By owner: how many of the calls it has claimed, and its row, whose fields are None if it was removed."""
        claimed = sa.select(CLAIMS.c.owner, sa.func.count().label("n_calls")).where(CLAIMS.c.call_id.in_(call_ids))
        counts = claimed.group_by(CLAIMS.c.owner).subquery()
        columns = (counts.c.owner.label("claimed_by"), counts.c.n_calls, *OWNERS.c)
        query = sa.select(*columns).select_from(counts.outerjoin(OWNERS, OWNERS.c.owner == counts.c.owner))
        return {row.claimed_by: (row.n_calls, row) for row in connection.execute(query)}

    def _is_gone(self, owner: Any, now: float) -> bool:
        if owner.owner is None:  # its row was removed
            return True
        n_beats, since = self._seen.get(owner.owner, (None, 0.0))
        if n_beats != owner.n_beats:
            since = time.monotonic()
            self._seen[owner.owner] = (owner.n_beats, since)
        if owner.place == _place():
            return start_of(owner.pid) != owner.process_start or time.monotonic() - since > LEASE_S
        return not now < owner.expires_at <= now + 2 * LEASE_S  # setting a clock back must not extend a lease

    def _now(self, connection: sa.Connection) -> float:
        if not self._ledger.is_shared:
            return time.time()
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())

    def _beat(self) -> None:
        def renew(connection: sa.Connection) -> None:
            values = {"n_beats": OWNERS.c.n_beats + 1, "expires_at": self._now(connection) + LEASE_S}
            connection.execute(OWNERS.update().where(OWNERS.c.owner == self.owner).values(values))

        while not self._is_over.wait(self._beat_s):
            self._quietly(renew)

    def _quietly(self, work: Callable[[sa.Connection], object]) -> None:
        """Write to the database; log failures, because the expiry of the lease makes up for them."""
        try:
            self._ledger.write(work)
        except Exception as error:
            _LOG.info("claims in ledger %s: %s", self._ledger, fault_of(error))


def _remove(connection: sa.Connection, owners: Sequence[str]) -> None:
    connection.execute(CLAIMS.delete().where(CLAIMS.c.owner.in_(owners)))
    connection.execute(OWNERS.delete().where(OWNERS.c.owner.in_(owners)))


def _place() -> str:
    """Host name and, on Linux, PID namespace: where a process id is valid."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return f"{socket.gethostname()} {numbers}".strip()


def start_of(pid: int) -> str | None:
    """Start time of a process, independent of clock changes; None if the process does not exist."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self/stat").exists():
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except (OSError, psutil.Error):
        return None
