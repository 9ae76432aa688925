"""Tables of the ledger and the encoding of outcomes as rows.

Requests and replies are JSON text, accessed with SQLAlchemy Core. The default is a SQLite file in WAL mode, shared by
all studies and processes; a PostgreSQL URL replaces it without other changes.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from advcluster_dagster.ledger.old_repeats import number_repeats
from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, EmbeddingReply, EmbeddingRequest

ModelRequest = ChatRequest | EmbeddingRequest
Outcome = ChatReply | EmbeddingReply | CallFailure
#: Study, asset and partition on whose behalf a call is made.
Use = tuple[str, str, str]

SCHEMA_VERSION = 3
_BUSY_TIMEOUT_S = 60.0
_CHUNK = 500

METADATA = sa.MetaData()
VERSION = sa.Table("schema_version", METADATA, sa.Column("version", sa.Integer, primary_key=True))
CALLS = sa.Table(
    "calls",
    METADATA,
    sa.Column("call_id", sa.String(64), primary_key=True),
    # Starts at 0 and increases with each retirement: a retired entry is never overwritten.
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("reply", sa.Text),
    sa.Column("failure", sa.Text),
    sa.Column("prompt_tokens", sa.Integer),
    sa.Column("completion_tokens", sa.Integer),
    # US dollars; null if the tokens or the price are unknown.
    sa.Column("cost", sa.Float),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("n_replies", sa.Integer, nullable=False),
    sa.Column("is_retired", sa.Boolean, nullable=False),
)
USES = sa.Table(
    "call_uses",
    METADATA,
    *(sa.Column(name, sa.String(250), primary_key=True) for name in ("study", "asset", "partition")),
    sa.Column("call_id", sa.String(64), primary_key=True),
)
#: For means over a stage's calls, which select by asset across studies.
USES_BY_ASSET = sa.Index("call_uses_by_asset", USES.c.asset, USES.c.call_id)
#: Migrations from each version to the next, run in one transaction, so that a ledger never has a mixed version.
UPGRADES: dict[int, Callable[[sa.Connection], None]] = {
    1: lambda connection: USES_BY_ASSET.create(connection),
    2: lambda connection: number_repeats(connection, CALLS, USES),
}
#: Batches submitted to vendors, and the calls in each (see ``batches``).
BATCHES = sa.Table(
    "batches",
    METADATA,
    sa.Column("token", sa.String(32), primary_key=True),
    sa.Column("server", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("batch_id", sa.Text),
    sa.Column("state", sa.String(20), nullable=False),
    # Number of failed batches of these calls before this one.
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("changed_at", sa.Text, nullable=False),
)
BATCH_CALLS = sa.Table(
    "batch_calls",
    METADATA,
    sa.Column("call_id", sa.String(64), primary_key=True),
    sa.Column("token", sa.String(32), primary_key=True, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    # Revision that the answer gets in `calls`: a retired call that is sent again needs a new batch.
    sa.Column("revision", sa.Integer, nullable=False),
)
#: Processes that are calling models, and the calls that each is about to send or has sent (see ``call_claims``).
OWNERS = sa.Table(
    "claim_owners",
    METADATA,
    sa.Column("owner", sa.String(32), primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    # PID namespace of `pid`: a container numbers its processes separately.
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("process_start", sa.Text, nullable=False),
    sa.Column("started_at", sa.Text, nullable=False),
    sa.Column("n_beats", sa.Integer, nullable=False),
    # Seconds since 1970 by the database's clock.
    sa.Column("expires_at", sa.Float, nullable=False),
)
CLAIMS = sa.Table(
    "call_claims",
    METADATA,
    sa.Column("call_id", sa.String(64), primary_key=True),
    sa.Column("owner", sa.String(32), nullable=False, index=True),
)


def open_engine(url: sa.URL) -> sa.Engine:
    """Create the engine of a ledger and, for SQLite, the missing folders of its file."""
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # survives a killed process

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first fails at its first write if another wrote in between; IMMEDIATE waits instead.
        is_writing = connection.get_execution_options().get("is_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def create_tables(connection: sa.Connection) -> int:
    """Create missing tables, migrate older ones and return the resulting schema version."""
    if connection.dialect.name == "postgresql":  # SQLite admits a single writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("tables of the call ledger"))))
    METADATA.create_all(connection)
    version = connection.execute(sa.select(VERSION.c.version)).scalar()
    if version is None:
        connection.execute(VERSION.insert().values(version=SCHEMA_VERSION))
        return SCHEMA_VERSION
    for older in range(int(version), SCHEMA_VERSION):
        UPGRADES[older](connection)
        connection.execute(VERSION.update().values(version=older + 1))
    return max(int(version), SCHEMA_VERSION)


def next_revisions(connection: sa.Connection, call_ids: Sequence[str]) -> dict[str, int]:
    """Revision of the next answer, for calls that have retired entries."""
    revisions: dict[str, int] = {}
    for chunk in chunks_of(call_ids):
        query = sa.select(CALLS.c.call_id, sa.func.max(CALLS.c.revision) + 1).where(
            CALLS.c.call_id.in_(chunk), CALLS.c.is_retired
        )
        revisions.update({row[0]: row[1] for row in connection.execute(query.group_by(CALLS.c.call_id))})
    return revisions


def request_text(request: ModelRequest) -> str:
    """A request's identity as stored: JSON text."""
    return json.dumps(request.identity)


def cost_of(outcome: Outcome, price: Price | None) -> float | None:
    """Cost of an outcome, dollars; None if its tokens or the price are unknown."""
    n_prompt, n_completion = (getattr(outcome, f"{kind}_tokens", None) for kind in ("prompt", "completion"))
    return None if price is None else price.cost(n_prompt, n_completion)


def encode_call(request: ModelRequest, outcome: Outcome, provider: str, price: Price | None = None) -> dict[str, Any]:
    """Encode an outcome as a row, without its revision."""
    reply = failure = None
    if isinstance(outcome, CallFailure):
        failure = json.dumps(asdict(outcome))
    elif isinstance(outcome, EmbeddingReply):
        vector = base64.b64encode(outcome.vector.astype("<f4").tobytes()).decode("ascii")
        reply = json.dumps({"vector": vector, "prompt_tokens": outcome.prompt_tokens})
    else:
        reply = json.dumps(asdict(replace(outcome, sampling=dict(outcome.sampling))))
    return {
        "call_id": request.call_id,
        "kind": request.identity["kind"],
        "model": request.model,
        "provider": provider,
        "request": request_text(request),
        "reply": reply,
        "failure": failure,
        "prompt_tokens": getattr(outcome, "prompt_tokens", None),
        "completion_tokens": getattr(outcome, "completion_tokens", None),
        "cost": cost_of(outcome, price),
        "created_at": time_stamp(),
        "n_replies": 1,
        "is_retired": False,
    }


def decode_outcome(kind: str, reply: str | None, failure: str | None) -> Outcome:
    """Decode the outcome of a row."""
    if reply is None:
        return CallFailure(**json.loads(failure or "{}"))
    values = json.loads(reply)
    if kind == "embedding":
        vector = np.frombuffer(base64.b64decode(values["vector"]), dtype="<f4").astype(np.float32)
        return EmbeddingReply(vector, values["prompt_tokens"])
    return ChatReply(**values)


def time_stamp() -> str:
    """Current time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def chunks_of(call_ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield the distinct ids in chunks small enough for an IN list."""
    ids = list(dict.fromkeys(call_ids))
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
