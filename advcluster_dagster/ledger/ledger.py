"""The call ledger: every model call with its outcome, on disk before anything uses it (design decision 5)."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from advcluster_dagster.ledger.database import LedgerDatabase, fault_of
from advcluster_dagster.ledger.database import LedgerError as LedgerError
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import (
    CALLS,
    CLAIMS,
    USES,
    ModelRequest,
    Outcome,
    Use,
    chunks_of,
    decode_outcome,
    encode_call,
    next_revisions,
)
from advcluster_dagster.ledger.unwritten_replies import UnkeptCall, UnkeptPlaces, opened
from advcluster_dagster.models.protocol import CHARACTERS_PER_TOKEN, repeat_id

#: A broken reply is asked for again no more often than that.
_MOST_REPEATS = 10
_LOG = logging.getLogger(__name__)


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
    """What calls of a model took so far; None where no provider reported it.

    ``tokens_per_character`` is of a request's text as the ledger keeps it (:func:`~.ledger_tables.request_text`).
    """

    completion_tokens: float | None
    tokens_per_character: float | None


@dataclass(frozen=True)
class ModelSpending:
    """What a study's calls of one model cost, retired entries and second replies included.

    ``known`` is the sum of the known costs, dollars. The replies without one took ``prompt_tokens`` and
    ``completion_tokens``; where the provider reported none, four characters count as a token.
    """

    provider: str
    model: str
    kind: str
    known: float
    prompt_tokens: int
    completion_tokens: int


class Ledger(LedgerDatabase):
    """The ledger behind a database URL; several processes and threads may use one at once.

    Args:
        url: SQLAlchemy URL, such as ``sqlite:////home/me/ledger/calls.sqlite``; tables are made where missing.
        folder: where replies are kept that the database cannot take, this ledger's alone; by default that of a SQLite
            file. Those that lie there are taken in.

    Raises:
        LedgerError: the tables were written by another version of this program.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        super().__init__(url)
        self.unkept = UnkeptPlaces.of(sa.make_url(url), folder)
        try:
            self.take_in_unkept()
        except (OSError, SQLAlchemyError, LedgerError) as error:  # it can be read; who asks models tries again
            _LOG.warning("ledger %s: the replies beside it cannot be taken in: %s", self, fault_of(error))

    def lookup(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """What is known of these calls, replies and named failures alike; unknown and retired calls are absent."""
        outcomes: dict[str, Outcome] = {}
        with self.read() as connection:
            for chunk in chunks_of(call_ids):
                columns = (CALLS.c.call_id, CALLS.c.kind, CALLS.c.reply, CALLS.c.failure)
                query = sa.select(*columns).where(CALLS.c.call_id.in_(chunk), ~CALLS.c.is_retired)
                rows = connection.execute(query)
                outcomes.update({row.call_id: self._outcome(row) for row in rows})
        return outcomes

    def _outcome(self, row: Any) -> Outcome:
        """The outcome in a row.

        Raises:
            LedgerError: what was kept there is garbled.
        """
        try:
            return decode_outcome(row.kind, row.reply, row.failure)
        except (ValueError, TypeError, KeyError) as error:
            raise self.damaged(error) from error

    def record(self, request: ModelRequest, outcome: Outcome, provider: str, price: Price | None = None) -> None:
        """Keep one outcome; it is on disk when this returns. See :meth:`record_many`."""
        self.record_many([(request, outcome)], provider, price)

    def record_many(
        self,
        calls: Sequence[tuple[ModelRequest, Outcome]],
        provider: str,
        price: Price | None = None,
        use: Use | None = None,
    ) -> set[str]:
        """Keep outcomes in one transaction; they are on disk when this returns, and claims on the calls are at an end.

        A call that already has an answer keeps it, so that every reader gets the same; the second one is counted.

        Args:
            calls: what was asked and what came, of one model.
            provider: the provider's name in the study.
            price: of the model as it was asked; the cost stays unknown without it.
            use: on whose behalf, noted with them.

        Returns:
            Ids of the calls that already had an answer.
        """
        rows = [encode_call(request, outcome, provider, price) for request, outcome in calls]

        def work(connection: sa.Connection) -> set[str]:
            answered_before = self._keep(connection, rows)
            if use is not None:
                self._note_uses(connection, use, [row["call_id"] for row in rows])
            return answered_before

        return self.write(work)

    def take_in_unkept(self) -> int:
        """Take in the replies that could not be kept when they came, and remove their files; how many there were.

        Raises:
            OSError: a file cannot be read or removed.
            SQLAlchemyError: they still cannot be kept; the files stay.
        """
        return sum(self.take_in_file(path) for path in self.unkept.files())

    def take_in_file(self, path: Path) -> int:
        """As :meth:`take_in_unkept`, for one file; 0 where another process is at it."""
        with opened(path) as calls:
            if calls:
                self.write(lambda connection: self._take_in(connection, calls))
                _LOG.warning("ledger %s: took in %d replies of %s", self, len(calls), path)
            return len(calls or ())

    def note_uses(self, study: str, asset: str, partition: str, call_ids: Iterable[str]) -> None:
        """Note that an asset partition used these calls; a use noted before is not noted again."""
        ids = list(call_ids)
        if ids:
            self.write(lambda connection: self._note_uses(connection, (study, asset, partition), ids))

    def retire(self, call_ids: Iterable[str]) -> int:
        """Retire the entries of these calls and of their repeats, so that they are asked again; the
        entries stay on disk.

        Returns:
            How many entries were retired.
        """
        chunks = list(chunks_of(chain.from_iterable(_with_repeats(call_id) for call_id in call_ids)))

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
        n_prompt = sa.func.coalesce(CALLS.c.prompt_tokens, sa.func.length(CALLS.c.request) / CHARACTERS_PER_TOKEN)
        n_completion = sa.func.coalesce(CALLS.c.completion_tokens, sa.func.length(CALLS.c.reply) / CHARACTERS_PER_TOKEN)
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

    def _keep(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
        """Keep rows and end the claims on their calls; ids of those that already had an answer."""
        # In one order everywhere, or two writers of the same rows could deadlock.
        ordered = sorted(rows, key=lambda row: str(row["call_id"]))
        ids = [row["call_id"] for row in ordered]
        revisions = next_revisions(connection, ids)
        answered_before = {row["call_id"] for row in ordered if self._upsert(connection, row, revisions) > 1}
        for chunk in chunks_of(ids):
            connection.execute(CLAIMS.delete().where(CLAIMS.c.call_id.in_(chunk)))
        return answered_before

    def _take_in(self, connection: sa.Connection, calls: Sequence[UnkeptCall]) -> None:
        """Keep calls, but for those that are there to the letter: the file of a process killed here is read again."""
        known: set[tuple[str, str]] = set()
        for chunk in chunks_of(call.row["call_id"] for call in calls):
            query = sa.select(CALLS.c.call_id, CALLS.c.created_at).where(CALLS.c.call_id.in_(chunk))
            known.update((row.call_id, row.created_at) for row in connection.execute(query))
        rows = [call.row for call in calls if (call.row["call_id"], call.row["created_at"]) not in known]
        self._keep(connection, rows)
        for call in sorted(calls, key=lambda call: str(call.row["call_id"])):
            self._note_uses(connection, call.use, [call.row["call_id"]])

    def _note_uses(self, connection: sa.Connection, use: Use, call_ids: Iterable[str]) -> None:
        keys = dict(zip(("study", "asset", "partition"), use, strict=True))
        rows = [{**keys, "call_id": call_id} for call_id in sorted(call_ids)]
        connection.execute(self.insert(USES).on_conflict_do_nothing(), rows)

    def _upsert(self, connection: sa.Connection, row: dict[str, Any], revisions: dict[str, int]) -> int:
        insert = self.insert(CALLS).values(**row, revision=revisions.get(row["call_id"], 0))
        upsert = insert.on_conflict_do_update(
            index_elements=[CALLS.c.call_id, CALLS.c.revision], set_={"n_replies": CALLS.c.n_replies + 1}
        ).returning(CALLS.c.n_replies)
        return int(connection.execute(upsert).scalar_one())


def _with_repeats(call_id: str) -> Iterator[str]:
    """A call and the repeats of its broken reply, which answer to no other reply."""
    yield call_id
    yield from (repeat_id(call_id, number) for number in range(1, _MOST_REPEATS + 1))


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
