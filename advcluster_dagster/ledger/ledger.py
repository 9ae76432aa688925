"""Call ledger: every model call with its outcome, written to disk before the outcome is used (design decision 5)."""

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
from advcluster_dagster.ledger.unwritten_replies import UnwrittenCall, UnwrittenPaths, open_unwritten
from advcluster_dagster.models.protocol import CHARACTERS_PER_TOKEN, repeat_id

#: Upper bound on the number of repeats of a broken reply.
_MOST_REPEATS = 10
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerTotals:
    """Counts over the active (not retired) entries; token sums are None if no provider reported any.

    ``n_paid_twice`` counts replies to calls that already had one: 0 unless two processes sent a call simultaneously.
    ``cost`` is the sum of the known costs, dollars, None if none is known; ``n_cost_unknown`` counts the other entries.
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
    """Mean token usage of a model's calls so far; None if no provider reported it.

    ``tokens_per_character`` refers to a request's text as stored in the ledger (:func:`~.tables.request_text`).
    """

    completion_tokens: float | None
    tokens_per_character: float | None


@dataclass(frozen=True)
class ModelSpending:
    """Cost of a study's calls of one model, including retired entries and duplicate replies.

    ``known`` is the sum of the known costs, dollars. ``prompt_tokens`` and ``completion_tokens`` cover the replies of
    unknown cost; if the provider reported none, four characters count as a token.
    """

    provider: str
    model: str
    kind: str
    known: float
    prompt_tokens: int
    completion_tokens: int


class Ledger(LedgerDatabase):
    """Ledger in the database behind a URL; safe for concurrent use by several processes and threads.

    Args:
        url: SQLAlchemy URL, such as ``sqlite:////home/me/ledger/calls.sqlite``; missing tables are created.
        folder: for replies that the database could not store, used by this ledger only; defaults to the folder of a
            SQLite file. Replies found there are imported.

    Raises:
        LedgerError: the tables were written by another version of this program.
    """

    def __init__(self, url: str, folder: Path | None = None) -> None:
        super().__init__(url)
        self.unwritten = UnwrittenPaths.of(sa.make_url(url), folder)
        try:
            self.import_unwritten()
        except (OSError, SQLAlchemyError, LedgerError) as error:  # reading still works; model calls retry the import
            _LOG.warning("ledger %s: replies saved to files cannot be imported: %s", self, fault_of(error))

    def lookup(self, call_ids: Iterable[str]) -> dict[str, Outcome]:
        """Outcomes (replies and named failures) of these calls; unknown and retired calls are absent."""
        outcomes: dict[str, Outcome] = {}
        with self.read() as connection:
            for chunk in chunks_of(call_ids):
                columns = (CALLS.c.call_id, CALLS.c.kind, CALLS.c.reply, CALLS.c.failure)
                query = sa.select(*columns).where(CALLS.c.call_id.in_(chunk), ~CALLS.c.is_retired)
                rows = connection.execute(query)
                outcomes.update({row.call_id: self._outcome(row) for row in rows})
        return outcomes

    def _outcome(self, row: Any) -> Outcome:
        """Decode the outcome of a row.

        Raises:
            LedgerError: the stored text is damaged.
        """
        try:
            return decode_outcome(row.kind, row.reply, row.failure)
        except (ValueError, TypeError, KeyError) as error:
            raise self.damaged(error) from error

    def record(self, request: ModelRequest, outcome: Outcome, provider: str, price: Price | None = None) -> None:
        """Store one outcome; it is on disk when this returns. See :meth:`record_many`."""
        self.record_many([(request, outcome)], provider, price)

    def record_many(
        self,
        calls: Sequence[tuple[ModelRequest, Outcome]],
        provider: str,
        price: Price | None = None,
        use: Use | None = None,
    ) -> set[str]:
        """Store outcomes and release the claims on their calls in one transaction; they are on disk when this returns.

        A call that already has an answer keeps it, so that all readers get the same; the duplicate is only counted.

        Args:
            calls: requests and outcomes of one model.
            provider: the provider's name in the study.
            price: of the model as it was called; without it the cost is unknown.
            use: asset partition on whose behalf the calls were made, recorded with them.

        Returns:
            Ids of the calls that already had an answer.
        """
        rows = [encode_call(request, outcome, provider, price) for request, outcome in calls]

        def work(connection: sa.Connection) -> set[str]:
            answered_before = self._store(connection, rows)
            if use is not None:
                self._note_uses(connection, use, [row["call_id"] for row in rows])
            return answered_before

        return self.write(work)

    def import_unwritten(self) -> int:
        """Import the replies that could not be stored on arrival and remove their files.

        Returns:
            Number of replies in the files.

        Raises:
            OSError: a file cannot be read or removed.
            SQLAlchemyError: they still cannot be stored; the files stay.
        """
        return sum(self.import_unwritten_file(path) for path in self.unwritten.files())

    def import_unwritten_file(self, path: Path) -> int:
        """As :meth:`import_unwritten`, for one file; 0 if another process has locked it."""
        with open_unwritten(path) as calls:
            if calls:
                self.write(lambda connection: self._import(connection, calls))
                _LOG.warning("ledger %s: imported %d replies from %s", self, len(calls), path)
            return len(calls or ())

    def note_uses(self, study: str, asset: str, partition: str, call_ids: Iterable[str]) -> None:
        """Record that an asset partition used these calls; uses already recorded are left unchanged."""
        ids = list(call_ids)
        if ids:
            self.write(lambda connection: self._note_uses(connection, (study, asset, partition), ids))

    def retire(self, call_ids: Iterable[str]) -> int:
        """Retire the entries of these calls and of their repeats, so that they are sent again; entries stay on disk.

        Returns:
            Number of entries retired.
        """
        chunks = list(chunks_of(chain.from_iterable(_with_repeats(call_id) for call_id in call_ids)))

        def work(connection: sa.Connection) -> int:
            matching = (CALLS.c.call_id.in_(chunk) & ~CALLS.c.is_retired for chunk in chunks)
            return sum(connection.execute(CALLS.update().where(m).values(is_retired=True)).rowcount for m in matching)

        return self.write(work)

    def totals_by_model(self) -> dict[str, LedgerTotals]:
        """Totals by model name."""
        query = sa.select(CALLS.c.model, *_total_columns()).where(~CALLS.c.is_retired).group_by(CALLS.c.model)
        with self.read() as connection:
            return {row[0]: LedgerTotals(*row[1:]) for row in connection.execute(query)}

    def totals_by_use(self, study: str) -> dict[Use, LedgerTotals]:
        """Totals by (study, asset, partition) of one study; a call used by two partitions counts in both."""
        keys = (USES.c.study, USES.c.asset, USES.c.partition)
        joined = USES.join(CALLS, (USES.c.call_id == CALLS.c.call_id) & ~CALLS.c.is_retired)
        query = sa.select(*keys, *_total_columns()).select_from(joined).where(USES.c.study == study).group_by(*keys)
        with self.read() as connection:
            return {(row[0], row[1], row[2]): LedgerTotals(*row[3:]) for row in connection.execute(query)}

    def totals_by_asset_and_model(self, study: str) -> dict[tuple[str, str], LedgerTotals]:
        """Totals by (asset, model) of one study; a call used by two partitions counts once."""
        uses = sa.select(USES.c.asset, USES.c.call_id).where(USES.c.study == study).distinct().subquery()
        joined = uses.join(CALLS, (uses.c.call_id == CALLS.c.call_id) & ~CALLS.c.is_retired)
        keys = (uses.c.asset, CALLS.c.model)
        query = sa.select(*keys, *_total_columns()).select_from(joined).group_by(*keys).order_by(*keys)
        with self.read() as connection:
            return {(row[0], row[1]): LedgerTotals(*row[2:]) for row in connection.execute(query)}

    def cost_of(self, call_ids: Iterable[str]) -> tuple[float | None, int]:
        """Sum of the known costs of these calls (None if none is known) and number of calls without a known cost."""
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
        has_tokens = CALLS.c.prompt_tokens.is_not(None)
        n_characters = sa.func.sum(sa.case((has_tokens, sa.func.length(CALLS.c.request))))
        query = sa.select(
            sa.func.avg(CALLS.c.completion_tokens), 1.0 * sa.func.sum(CALLS.c.prompt_tokens) / n_characters
        ).where(CALLS.c.model == model, ~CALLS.c.is_retired, CALLS.c.call_id.in_(uses))
        with self.read() as connection:
            mean, ratio = connection.execute(query).one()
        return MeanUsage(None if mean is None else float(mean), None if ratio is None else float(ratio))

    def spending(self, study: str) -> list[ModelSpending]:
        """Cost of the calls a study uses, by provider and model, whichever study sent them first."""
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

    def _store(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> set[str]:
        """Store rows and release the claims on their calls; return the ids of calls that already had an answer."""
        # Always in the same order: two writers of the same rows could deadlock otherwise.
        ordered = sorted(rows, key=lambda row: str(row["call_id"]))
        ids = [row["call_id"] for row in ordered]
        revisions = next_revisions(connection, ids)
        answered_before = {row["call_id"] for row in ordered if self._upsert(connection, row, revisions) > 1}
        for chunk in chunks_of(ids):
            connection.execute(CLAIMS.delete().where(CLAIMS.c.call_id.in_(chunk)))
        return answered_before

    def _import(self, connection: sa.Connection, calls: Sequence[UnwrittenCall]) -> None:
        """Store calls, except entries already present: after a crash in an import the file is read again."""
        known: set[tuple[str, str]] = set()
        for chunk in chunks_of(call.row["call_id"] for call in calls):
            query = sa.select(CALLS.c.call_id, CALLS.c.created_at).where(CALLS.c.call_id.in_(chunk))
            known.update((row.call_id, row.created_at) for row in connection.execute(query))
        rows = [call.row for call in calls if (call.row["call_id"], call.row["created_at"]) not in known]
        self._store(connection, rows)
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
    """Yield a call's id and those of its repeats, which are valid for its reply only."""
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
