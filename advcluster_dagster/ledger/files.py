"""Export and import of a study's replies as one file, with which others can reproduce its tables without API keys.

The file is gzip-compressed JSON Lines: a header {"format", "version", "study", "n_calls", "n_failures"}, then one call
per line, ordered by call_id, with "request", "reply" or "failure", the tokens, the cost, the provider's name and the
time. Requests contain no API keys or HTTP headers, so the file contains none.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, islice
from operator import not_
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from advcluster_dagster.ledger.ledger import Ledger, LedgerError
from advcluster_dagster.ledger.old_repeats import n_repeats_in, store_repeats
from advcluster_dagster.ledger.tables import CALLS, USES, next_revisions
from advcluster_dagster.models.protocol import CallFailure, ChatReply, call_id_of
from advcluster_dagster.storage.files import atomic_write

_FORMAT: Final = "advcluster replies"
#: Version 1 has no costs; versions 1 and 2 identify a repeat of a broken reply by its whole text. All can be read.
_VERSION: Final = 3
_ROWS_PER_INSERT = 500
#: Columns that are written to a line unchanged.
_PLAIN = ("call_id", "provider", "prompt_tokens", "completion_tokens", "cost", "created_at")
#: Longer lines are rejected; the longest replies have some hundred thousand characters.
_LONGEST_LINE = 64 * 2**20


@dataclass(frozen=True)
class ReplyFile:
    """Contents of a reply file; ``n_known`` of its calls were in the ledger before."""

    study: str
    n_calls: int
    n_failures: int
    n_known: int = 0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Header(_Strict):
    format: Literal["advcluster replies"]
    version: Literal[1, 2, 3]
    study: str
    n_calls: int = Field(ge=0)
    n_failures: int = Field(ge=0)


class _Line(_Strict):
    call_id: str = Field(pattern="^[0-9a-f]{64}$")
    provider: str
    request: dict[str, Any]
    reply: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    prompt_tokens: int | None = Field(None, ge=0, lt=2**31)
    completion_tokens: int | None = Field(None, ge=0, lt=2**31)
    cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    created_at: str = Field(max_length=40)


class _ChecksTypes(BaseModel):
    """Validates the types of a record's fields, which the dataclass constructor does not."""

    model_config = ConfigDict(revalidate_instances="always")

    record: ChatReply | CallFailure


class _VectorReply(_Strict):
    vector: str
    prompt_tokens: int | None


def export_replies(ledger: Ledger, study: str, path: Path) -> ReplyFile:
    """Write all active calls that a study used; equal contents give equal bytes.

    Args:
        ledger: source of the calls.
        study: the study's name.
        path: the file to create or replace atomically.

    Raises:
        LedgerError: the ledger holds no call of the study, or the file cannot be written.
    """
    used = sa.select(USES.c.call_id).where(USES.c.study == study)
    is_exported = CALLS.c.call_id.in_(used) & ~CALLS.c.is_retired
    with ledger.read() as connection:
        counts = sa.select(sa.func.count(), sa.func.count(CALLS.c.failure)).where(is_exported)
        n_calls, n_failures = connection.execute(counts).one()
        if not n_calls:
            raise LedgerError(f"study {study}: the ledger holds no calls of this study; run the study first")
        header = _Header(format=_FORMAT, version=_VERSION, study=study, n_calls=n_calls, n_failures=n_failures)
        query = sa.select(CALLS).where(is_exported).order_by(CALLS.c.call_id)
        rows = connection.execution_options(yield_per=_ROWS_PER_INSERT).execute(query)
        lines = (_as_line(row).model_dump(exclude_none=True) for row in rows.mappings())
        _write_lines(path, chain([header.model_dump()], lines))
    return ReplyFile(study, n_calls, n_failures)


def import_replies(ledger: Ledger, path: Path) -> ReplyFile:
    """Import a file's calls into the ledger, all or none; calls that have an answer keep it.

    Raises:
        LedgerError: the file cannot be read or is invalid; the message names the line.
    """

    def work(connection: sa.Connection) -> ReplyFile:
        texts = _read_lines(path)
        header = _checked_header(path, texts)
        lines = _checked_lines(path, header, texts)
        n_known, old_repeats = 0, list[dict[str, Any]]()
        while part := list(islice(lines, _ROWS_PER_INSERT)):
            old = [header.version < 3 and n_repeats_in(line.request) > 0 for line in part]
            old_repeats += [_as_row(line) for line in compress(part, old)]
            n_known += _insert(ledger, connection, [_as_row(line) for line in compress(part, map(not_, old))])
        n_known += store_repeats(connection, CALLS, old_repeats)
        return ReplyFile(header.study, header.n_calls, header.n_failures, n_known)

    return ledger.write(work)


def _insert(ledger: Ledger, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows of calls without an answer; return how many had one."""
    ids = [row["call_id"] for row in rows]
    known = sa.select(CALLS.c.call_id).where(CALLS.c.call_id.in_(ids) & ~CALLS.c.is_retired)
    n_known = len(connection.execute(known).all())
    revisions = next_revisions(connection, ids)
    numbered = [{**row, "revision": revisions.get(row["call_id"], 0)} for row in rows]
    if numbered:
        connection.execute(ledger.insert(CALLS).on_conflict_do_nothing(), numbered)
    return n_known


def _as_line(row: sa.RowMapping) -> _Line:
    read = {name: json.loads(row[name]) for name in ("request", "reply", "failure") if row[name] is not None}
    plain = {name: row[name] for name in _PLAIN}
    return _Line(**plain, **read)


def _as_row(line: _Line) -> dict[str, Any]:
    return {
        **line.model_dump(include={*_PLAIN}),
        "kind": line.request["kind"],
        "model": line.request["model"],
        "request": json.dumps(line.request),
        "reply": None if line.reply is None else json.dumps(line.reply),
        "failure": None if line.failure is None else json.dumps(line.failure),
        "n_replies": 1,
        "is_retired": False,
    }


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write the file atomically: it never exists with only part of its lines."""
    try:
        with (
            atomic_write(path) as staged,
            staged.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        ):
            for line in lines:
                packed.write(json.dumps(line, sort_keys=True).encode() + b"\n")
    except OSError as error:
        raise LedgerError(f"{path}: cannot be written: {error.strerror or error}") from None


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers, from 1."""
    number = 0
    try:
        with gzip.open(path, "rb") as packed:
            while text := packed.readline(_LONGEST_LINE + 1):
                number += 1
                if len(text) > _LONGEST_LINE:
                    raise LedgerError(f"{path}, line {number}: too long for a call; nothing was imported")
                yield number, text
    except FileNotFoundError:
        raise LedgerError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise LedgerError(
            f"{path}, after line {number}: cannot be decompressed ({error}); nothing was imported, get the file again"
        ) from None


def _checked_header(path: Path, texts: Iterator[tuple[int, bytes]]) -> _Header:
    _, text = next(texts, (0, b""))
    try:
        return _Header.model_validate_json(text)
    except ValidationError:
        raise LedgerError(
            f"{path}, line 1: not a header of a reply file (versions 1 to {_VERSION}); nothing was imported"
        ) from None


def _checked_lines(path: Path, header: _Header, texts: Iterator[tuple[int, bytes]]) -> Iterator[_Line]:
    """Yield the validated calls of a file; the header's counts are checked at the end."""
    last_id, n_calls, n_failures = "", 0, 0
    for number, text in texts:
        try:
            line = _checked_line(text)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            reason = " ".join(str(error).split())[:200]
            raise LedgerError(f"{path}, line {number}: {reason}; nothing was imported") from None
        if line.call_id <= last_id:
            raise LedgerError(f"{path}, line {number}: call {line.call_id} is out of order; nothing was imported")
        last_id = line.call_id
        n_calls += 1
        n_failures += line.failure is not None
        yield line
    if (n_calls, n_failures) != (header.n_calls, header.n_failures):
        raise LedgerError(
            f"{path}, line {n_calls + 1}: the header declares {header.n_calls} calls and {header.n_failures} failures,"
            f" the file has {n_calls} and {n_failures}; nothing was imported"
        )


def _checked_line(text: bytes) -> _Line:
    """Parse one call and validate its id and outcome.

    Raises:
        ValueError: the call is invalid.
    """
    line = _Line.model_validate_json(text)
    if "repeat" in line.request:
        _check_messages(line.request)
    if call_id_of(line.request) != line.call_id:
        raise ValueError(f"call_id {line.call_id} does not match the request")
    if line.request.get("kind") not in ("chat", "embedding") or not isinstance(line.request.get("model"), str):
        raise ValueError("the request is neither a chat nor an embedding call")
    if line.request["kind"] == "chat":
        _check_messages(line.request)
    if (line.reply is None) == (line.failure is None):
        raise ValueError("a call has either a reply or a failure")
    json.dumps([line.reply, line.failure, line.provider], ensure_ascii=False).encode()  # rejects lone surrogates
    if line.failure is not None:
        _ChecksTypes(record=CallFailure(**line.failure))
    elif line.request["kind"] == "chat":
        _ChecksTypes(record=ChatReply(**(line.reply or {})))
    else:
        packed = base64.b64decode(_VectorReply.model_validate(line.reply).vector, validate=True)
        vector = np.frombuffer(packed, dtype="<f4")
        if not len(vector) or not np.isfinite(vector).all():
            raise ValueError("the vector is empty or holds NaN or infinite numbers")
    return line


def _check_messages(request: dict[str, Any]) -> None:
    """Check that a chat request has messages, including two for each repeat of a broken reply.

    Raises:
        ValueError: it does not.
    """
    messages, n_repeats = request.get("messages"), request.get("repeat", 0)
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and isinstance(message.get("role"), str) and isinstance(message.get("content"), str)
        for message in messages
    ):
        raise ValueError("the request has no messages")
    if not isinstance(n_repeats, int) or isinstance(n_repeats, bool) or not 0 <= 2 * n_repeats <= len(messages):
        raise ValueError("the request's repeat number does not fit its messages")
