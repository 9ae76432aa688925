"""Claims on calls before they are sent, so that no two processes pay for the same call.

A claim is released with the recording of its outcome, in one transaction (see ``ledger``).

An owner renews its lease every few seconds. On its own machine a process that is gone is seen at once, and one that
is there counts as gone only when it has renewed nothing while another watched for a whole lease: clocks that are set
and machines that slept change nothing. On other machines the lease decides, by the database server's clock.
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
    """Result of claiming calls: those that this process may send, and those answered by now; the rest is
    another's.
    """

    ours: frozenset[str]
    answered: frozenset[str]


class CallClaims:
    """The claims of one step that asks a model; a context manager that gives up what is left of them.

    Several threads may use it at once.

    Args:
        ledger: in whose database the claims are kept.
        beat_s: seconds between two renewals of the lease.
    """

    def __init__(self, ledger: Ledger, beat_s: float = _BEAT_S) -> None:
        self.owner = uuid.uuid4().hex
        self._ledger = ledger
        self._beat_s = beat_s
        self._is_over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="ledger-claims", daemon=True)
        # Owners that were seen: how often they had renewed their lease, and since when no more often.
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
        """Claim calls that nobody else has claimed, in one transaction."""
        requested = sorted(set(call_ids))

        def work(connection: sa.Connection) -> Claimed:
            if self._ledger.is_shared:  # one at a time, as SQLite does it: no two can wait for each other
                key = sa.func.hashtext("claims of calls")
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            ours = self._insert(connection, requested)
            rest = [call_id for call_id in requested if call_id not in ours]
            if rest and self._remove_gone(connection, rest):
                ours |= self._insert(connection, rest)
            # Looked up after claiming: an answer comes in one transaction with the end of its claim.
            query = sa.select(CALLS.c.call_id).where(CALLS.c.call_id.in_(requested), ~CALLS.c.is_retired)
            answered = set(connection.execute(query).scalars())
            if ours & answered:
                connection.execute(CLAIMS.delete().where(CLAIMS.c.call_id.in_(ours & answered)))
            return Claimed(frozenset(ours - answered), frozenset(answered))

        return self._ledger.write(work) if requested else Claimed(frozenset(), frozenset())

    def wait(self, call_ids: Collection[str]) -> None:
        """Wait until one of these calls has no live claim any more: it is answered then, or free."""
        is_told = False
        while call_ids and all(self._is_held(chunk) for chunk in chunks_of(call_ids)):
            if not is_told:
                _LOG.info("%d calls are being asked by another process; waiting for its replies", len(call_ids))
                is_told = True
            time.sleep(_POLL_S)

    def _is_held(self, call_ids: Sequence[str]) -> bool:
        """Whether all of these calls have a live claim."""
        with self._ledger.read() as connection:
            owners = self._owners_of(connection, call_ids)
            n_claimed = sum(n_calls for n_calls, _ in owners.values())
            now = self._now(connection)
            return n_claimed == len(call_ids) and not any(self._is_gone(row, now) for _, row in owners.values())

    def _insert(self, connection: sa.Connection, call_ids: Sequence[str]) -> set[str]:
        """Claim those of the calls that nobody has claimed."""
        rows = [{"call_id": call_id, "owner": self.owner} for call_id in call_ids]
        insert = self._ledger.insert(CLAIMS).values(rows).on_conflict_do_nothing().returning(CLAIMS.c.call_id)
        return set(connection.execute(insert).scalars())

    def _remove_gone(self, connection: sa.Connection, call_ids: Sequence[str]) -> bool:
        """Remove the claims of owners that are gone; whether there were any."""
        now = self._now(connection)
        owners = self._owners_of(connection, call_ids)
        gone = [owner for owner, (_, row) in owners.items() if self._is_gone(row, now)]
        _remove(connection, gone)
        return bool(gone)

    def _owners_of(self, connection: sa.Connection, call_ids: Sequence[str]) -> dict[str, tuple[int, Any]]:
        """By owner, how many of the calls it has claimed, and its row; the row's fields are None where it is gone."""
        claimed = sa.select(CLAIMS.c.owner, sa.func.count().label("n_calls")).where(CLAIMS.c.call_id.in_(call_ids))
        counts = claimed.group_by(CLAIMS.c.owner).subquery()
        columns = (counts.c.owner.label("claimed_by"), counts.c.n_calls, *OWNERS.c)
        query = sa.select(*columns).select_from(counts.outerjoin(OWNERS, OWNERS.c.owner == counts.c.owner))
        return {row.claimed_by: (row.n_calls, row) for row in connection.execute(query)}

    def _is_gone(self, owner: Any, now: float) -> bool:
        if owner.owner is None:  # removed between two looks
            return True
        n_beats, since = self._seen.get(owner.owner, (None, 0.0))
        if n_beats != owner.n_beats:
            since = time.monotonic()
            self._seen[owner.owner] = (owner.n_beats, since)
        if owner.place == _place():
            return start_of(owner.pid) != owner.process_start or time.monotonic() - since > LEASE_S
        return not now < owner.expires_at <= now + 2 * LEASE_S  # a clock that was set back does not lengthen a lease

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
        """Do what the lease makes up for where the database cannot take it."""
        try:
            self._ledger.write(work)
        except Exception as error:
            _LOG.info("claims in ledger %s: %s", self._ledger, fault_of(error))


def _remove(connection: sa.Connection, owners: Sequence[str]) -> None:
    connection.execute(CLAIMS.delete().where(CLAIMS.c.owner.in_(owners)))
    connection.execute(OWNERS.delete().where(OWNERS.c.owner.in_(owners)))


def _place() -> str:
    """The machine, and on Linux the container, by whose numbers processes are known."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return f"{socket.gethostname()} {numbers}".strip()


def start_of(pid: int) -> str | None:
    """When a process was started, in a form that no setting of the clock changes; None where it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        if Path("/proc/self/stat").exists():
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return None if fields[0] in "ZX" else fields[19]
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except (OSError, psutil.Error):
        return None
