"""The call ledger: every model call and what came of it, on disk before anything uses it (design decision 5).

Here: looking calls up, recording, retiring, counting. Not here: the tables (``ledger_tables``), asking providers
(``calls``), repeats of broken replies (``validated``), prices (``prices``), caps (``caps``).
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from advcluster_dagster.models.ledger_tables import (
    CALLS,
    SCHEMA_VERSION,
    USES,
    ModelRequest,
    Outcome,
    chunks_of,
    create_tables,
    decode_outcome,
    encode_call,
    next_revisions,
    open_engine,
)
from advcluster_dagster.models.prices import Price

Use = tuple[str, str, str]
R = TypeVar("R")

_LOCK_PAUSES_S = (0.05, 0.2, 0.5, 1.0, 2.0)


class LedgerError(RuntimeError):
    """The ledger cannot be used; one line for people."""


@dataclass(frozen=True)
class LedgerTotals:
    """Counts over the answering (not retired) entries; token sums are None where no provider gave any.

    ``n_paid_twice`` counts replies received for calls that already had one: 0 unless two processes asked at once.
    ``cost`` is the sum of the known costs, dollars, None where none is known; ``n_cost_unknown`` counts the others.
    """

    n_calls: int
    n_failures: int
    n_paid_twice: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    n_cost_unknown: int


@dataclass(frozen=True)
class MeanUsage:
    """What calls of a model took so far; None where no provider told.

    ``tokens_per_character`` is of a request's text as the ledger keeps it (:func:`~.ledger_tables.request_text`).
    """

    completion_tokens: float | None
    tokens_per_character: float | None


@dataclass(frozen=True)
class ModelSpending:
    """What a study's calls of one model cost, retired entries and second replies included.

    ``known`` is the sum of the known costs, dollars. The replies without one took ``prompt_tokens`` and
    ``completion_tokens``; where the provider told none, four characters count as a token.
    """

    provider: str
    model: str
    kind: str
    known: float
    prompt_tokens: int
    completion_tokens: int


class Ledger:
    """The ledger behind a database URL; several processes and threads may use one at once.

    Args:
        url: SQLAlchemy URL, such as ``sqlite:////home/me/ledger/calls.sqlite``; tables are made where missing.

    Raises:
        LedgerError: the tables were written by another version of this program.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(sa.make_url(url))
        self._writer = self._engine.execution_options(is_writing=True)
        is_postgres = self._engine.dialect.name == "postgresql"
        one_state = {"isolation_level": "REPEATABLE READ"} if is_postgres else {}
        self._reader = self._engine.execution_options(**one_state)
        self.is_shared = is_postgres
        self.insert = postgresql.insert if is_postgres else sqlite.insert
        version = self.write(create_tables)
        if version != SCHEMA_VERSION:
            raise LedgerError(
                f"ledger {self._engine.url}: its tables have version {version}, this program knows versions up to"
                f" {SCHEMA_VERSION}; use the newer program that wrote it"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def pack(self) -> int:
        """Give back what deleted and rewritten rows left in the database; no entry is touched.

        Returns:
            Bytes that a SQLite file lost; 0 with PostgreSQL, which keeps them for later.
        """
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            if self._engine.dialect.name != "sqlite":
                connection.exec_driver_sql("VACUUM ANALYZE")
                return 0
            (size,) = raw.execute("PRAGMA page_size").fetchone()
            (n_before,) = raw.execute("PRAGMA page_count").fetchone()
            raw.execute("VACUUM")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (n_after,) = raw.execute("PRAGMA page_count").fetchone()
            return int(size * (n_before - n_after))

    def write(self, work: Callable[[sa.Connection], R]) -> R:
        """Do the work in one transaction, again where SQLite gave up waiting for another writer; raises undo it."""
        for pause in (*_LOCK_PAUSES_S, None):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except (OperationalError, sqlite3.OperationalError) as error:  # the latter while switching to WAL
                if pause is None or "locked" not in str(error):
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A connection whose reads all see the same state."""
        return self._reader.begin()

    @contextmanager
    def session_lock(self, name: str) -> Iterator[None]:
        """Hold a lock that all processes with this PostgreSQL database know, waiting for whoever has it; the server
        takes it from a process that is gone.
        """
        key = sa.func.hashtext(name)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(key)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))

    def lookup(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """What is known of these calls, replies and named failures alike; unknown and retired calls are absent."""
        found: dict[str, Outcome] = {}
        with self.read() as connection:
            for chunk in chunks_of(call_ids):
                columns = (CALLS.c.call_id, CALLS.c.kind, CALLS.c.reply, CALLS.c.failure)
                query = sa.select(*columns).where(CALLS.c.call_id.in_(chunk), ~CALLS.c.is_retired)
                rows = connection.execute(query)
                found.update({row.call_id: decode_outcome(row.kind, row.reply, row.failure) for row in rows})
        return found

    def record(self, request: ModelRequest, outcome: Outcome, provider: str, price: Price | None = None) -> None:
        """Keep one outcome; it is on disk when this returns. See :meth:`record_many`."""
        self.record_many([(request, outcome)], provider, price)

    def record_many(
        self, calls: Sequence[tuple[ModelRequest, Outcome]], provider: str, price: Price | None = None
    ) -> set[str]:
        """Keep outcomes in one transaction; they are on disk when this returns.

        A call that already has an answer keeps it, so that every reader gets the same; the second one is counted.

        Args:
            calls: what was asked and what came, of one model.
            provider: the provider's name in the study.
            price: of the model as it was asked; the cost stays unknown without it.

        Returns:
            Ids of the calls that already had an answer.
        """
        # In one order everywhere, or two writers of the same rows would wait for each other for ever.
        ordered = sorted(calls, key=lambda call: call[0].call_id)
        rows = [encode_call(request, outcome, provider, price) for request, outcome in ordered]

        def work(connection: sa.Connection) -> set[str]:
            revisions = next_revisions(connection, [row["call_id"] for row in rows])
            return {row["call_id"] for row in rows if self._upsert(connection, row, revisions) > 1}

        return self.write(work)

    def note_uses(self, study: str, asset: str, partition: str, call_ids: Iterable[str]) -> None:
        """Note that an asset partition used these calls; a use noted before is not noted again."""
        keys = {"study": study, "asset": asset, "partition": partition}
        rows = [{**keys, "call_id": call_id} for call_id in sorted(call_ids)]
        if rows:
            self.write(lambda connection: connection.execute(self.insert(USES).on_conflict_do_nothing(), rows))

    def retire(self, call_ids: Iterable[str]) -> int:
        """Make these calls' entries answer no more, so that they are asked anew; the entries stay on disk.

        Returns:
            How many entries were retired.
        """
        chunks = list(chunks_of(call_ids))

        def work(connection: sa.Connection) -> int:
            matching = (CALLS.c.call_id.in_(chunk) & ~CALLS.c.is_retired for chunk in chunks)
            return sum(connection.execute(CALLS.update().where(m).values(is_retired=True)).rowcount for m in matching)

        return self.write(work)

    def totals_by_model(self) -> dict[str, LedgerTotals]:
        """Counts per model name."""
        query = sa.select(CALLS.c.model, *_total_columns()).where(~CALLS.c.is_retired).group_by(CALLS.c.model)
        with self.read() as connection:
            return {row[0]: LedgerTotals(*row[1:]) for row in connection.execute(query)}

    def totals_by_use(self, study: str) -> dict[Use, LedgerTotals]:
        """Counts per (study, asset, partition) of one study; a call used twice counts in both."""
        keys = (USES.c.study, USES.c.asset, USES.c.partition)
        joined = USES.join(CALLS, (USES.c.call_id == CALLS.c.call_id) & ~CALLS.c.is_retired)
        query = sa.select(*keys, *_total_columns()).select_from(joined).where(USES.c.study == study).group_by(*keys)
        with self.read() as connection:
            return {(row[0], row[1], row[2]): LedgerTotals(*row[3:]) for row in connection.execute(query)}

    def totals_by_asset_and_model(self, study: str) -> dict[tuple[str, str], LedgerTotals]:
        """Counts per (asset, model) of one study; a call used by two partitions counts once."""
        uses = sa.select(USES.c.asset, USES.c.call_id).where(USES.c.study == study).distinct().subquery()
        joined = uses.join(CALLS, (uses.c.call_id == CALLS.c.call_id) & ~CALLS.c.is_retired)
        keys = (uses.c.asset, CALLS.c.model)
        query = sa.select(*keys, *_total_columns()).select_from(joined).group_by(*keys).order_by(*keys)
        with self.read() as connection:
            return {(row[0], row[1]): LedgerTotals(*row[2:]) for row in connection.execute(query)}

    def cost_of(self, call_ids: Iterable[str]) -> tuple[float | None, int]:
        """Known cost of these calls together, None where none is known, and how many have no known cost."""
        costs: list[float | None] = []
        with self.read() as connection:
            for chunk in chunks_of(call_ids):
                query = sa.select(CALLS.c.cost).where(CALLS.c.call_id.in_(chunk), ~CALLS.c.is_retired)
                costs += connection.execute(query).scalars()
        known = [cost for cost in costs if cost is not None]
        return (sum(known) if known else None), len(costs) - len(known)

    def mean_usage(self, model: str, asset: str) -> MeanUsage:
        """Mean length of a model's replies in one asset so far, over all studies, and tokens per character."""
        uses = sa.select(USES.c.call_id).where(USES.c.asset == asset)
        is_told = CALLS.c.prompt_tokens.is_not(None)
        n_characters = sa.func.sum(sa.case((is_told, sa.func.length(CALLS.c.request))))
        query = sa.select(
            sa.func.avg(CALLS.c.completion_tokens), 1.0 * sa.func.sum(CALLS.c.prompt_tokens) / n_characters
        ).where(CALLS.c.model == model, ~CALLS.c.is_retired, CALLS.c.call_id.in_(uses))
        with self.read() as connection:
            mean, ratio = connection.execute(query).one()
        return MeanUsage(None if mean is None else float(mean), None if ratio is None else float(ratio))

    def spending(self, study: str) -> list[ModelSpending]:
        """What a study's calls cost, by provider and model, whoever asked them first."""
        used = sa.select(USES.c.call_id).where(USES.c.study == study)
        keys = (CALLS.c.provider, CALLS.c.model, CALLS.c.kind)
        is_unknown = CALLS.c.cost.is_(None) & CALLS.c.reply.is_not(None)
        n_prompt = sa.func.coalesce(CALLS.c.prompt_tokens, sa.func.length(CALLS.c.request) / 4)
        n_completion = sa.func.coalesce(CALLS.c.completion_tokens, sa.func.length(CALLS.c.reply) / 4)
        n_unknown = (
            sa.func.sum(sa.case((is_unknown, n_prompt * CALLS.c.n_replies), else_=0)),
            sa.func.sum(sa.case((is_unknown & (CALLS.c.kind == "chat"), n_completion * CALLS.c.n_replies), else_=0)),
        )
        known = sa.func.coalesce(sa.func.sum(CALLS.c.cost * CALLS.c.n_replies), 0.0)
        query = sa.select(*keys, known, *n_unknown).where(CALLS.c.call_id.in_(used)).group_by(*keys).order_by(*keys)
        with self.read() as connection:
            return [
                ModelSpending(*row[:3], float(row[3]), int(row[4]), int(row[5])) for row in connection.execute(query)
            ]

    def _upsert(self, connection: sa.Connection, row: dict[str, Any], revisions: dict[str, int]) -> int:
        insert = self.insert(CALLS).values(**row, revision=revisions.get(row["call_id"], 0))
        upsert = insert.on_conflict_do_update(
            index_elements=[CALLS.c.call_id, CALLS.c.revision], set_={"n_replies": CALLS.c.n_replies + 1}
        ).returning(CALLS.c.n_replies)
        return int(connection.execute(upsert).scalar_one())


def _total_columns() -> tuple[sa.ColumnElement[Any], ...]:
    return (
        sa.func.count(),
        sa.func.count(CALLS.c.failure),
        sa.func.sum(CALLS.c.n_replies - 1),
        sa.func.sum(CALLS.c.prompt_tokens),
        sa.func.sum(CALLS.c.completion_tokens),
        sa.func.sum(CALLS.c.cost),
        sa.func.count() - sa.func.count(CALLS.c.cost),
    )
