"""Migrate repeated calls of ledgers and reply files of versions 1 and 2.

Those versions identified a repeat by its whole text, including the wording of the fault.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from advcluster_dagster.models.protocol import call_id_of, repeat_id

#: Beginning and end of every correction message in those versions.
OPENING = "Your reply could not be used: "
_CLOSING = ". Reply again to the request above, in exactly the format it asks for and with nothing else."
_NO_REPLY = "(no reply)"

Row = Mapping[str, Any]


def n_repeats_in(request: Mapping[str, Any]) -> int:
    """Number of broken replies at the end of a request of versions 1 and 2; 0 if it is not a repeat."""
    if request.get("kind") != "chat" or "repeat" in request:
        return 0
    messages, n_repeats = request["messages"], 0
    while len(messages) > 2 * (n_repeats + 1) and _is_correction(messages[len(messages) - 2 * (n_repeats + 1) :][:2]):
        n_repeats += 1
    return n_repeats


def first_id_of(request: Mapping[str, Any], n_repeats: int) -> str:
    """Id of the original request of a repeat."""
    return call_id_of({**request, "messages": request["messages"][: -2 * n_repeats]})


def store_repeats(connection: sa.Connection, calls: sa.Table, rows: Iterable[Row]) -> int:
    """Insert rows of old repeats under the ids of numbered repeats; a repeat that has an answer keeps it.

    If several rows with different wording have the same number, the active entry is the newest one whose conversation
    contains the broken replies that the ledger holds; the others become retired entries.

    Args:
        connection: in a writing transaction.
        calls: the table of calls.
        rows: values of its columns except ``revision``; none of them is in the table.

    Returns:
        Number of rows skipped because their repeat has an answer.
    """
    by_first: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        request = json.loads(row["request"])
        n_repeats = n_repeats_in(request)
        by_first[first_id_of(request, n_repeats)][n_repeats].append(row)
    return sum(_store_chain(connection, calls, first_id, by_first[first_id]) for first_id in sorted(by_first))


def _store_chain(
    connection: sa.Connection, calls: sa.Table, first_id: str, by_number: Mapping[int, Sequence[Row]]
) -> int:
    """As :func:`store_repeats`, for the repeats of one call, given by number."""
    n_skipped = 0
    broken = [_reply_text(connection, calls, first_id)]
    for n_repeats in range(1, max(by_number) + 1):
        call_id = repeat_id(first_id, n_repeats)
        rows = sorted(by_number.get(n_repeats, ()), key=lambda row: str(row["created_at"]))
        if _has_answer(connection, calls, call_id):
            n_skipped += len(rows)
        elif rows:
            answers = [row for row in rows if not row["is_retired"] and _shows(row, broken)]
            others = [row for row in rows if not answers or row is not answers[-1]]
            _insert(connection, calls, call_id, n_repeats, others, answers[-1:])
        broken.append(_reply_text(connection, calls, call_id))
    return n_skipped


def _insert(
    connection: sa.Connection,
    calls: sa.Table,
    call_id: str,
    n_repeats: int,
    retired: Sequence[Row],
    rest: Sequence[Row],
) -> None:
    """Insert rows with increasing revisions, retired ones first, since the highest revision is the active one."""
    highest = sa.select(sa.func.coalesce(sa.func.max(calls.c.revision), -1)).where(calls.c.call_id == call_id)
    start = connection.execute(highest).scalar_one() + 1
    for revision, row in enumerate([*retired, *rest], start):
        named = {
            "call_id": call_id,
            "revision": revision,
            "request": json.dumps(json.loads(row["request"]) | {"repeat": n_repeats}),
            "is_retired": revision - start < len(retired),
        }
        connection.execute(calls.insert(), {**row, **named})


def _shows(row: Row, broken: Sequence[str | None]) -> bool:
    """Whether the broken replies in a conversation are those in the ledger, or parts of them."""
    messages = json.loads(row["request"])["messages"]
    shown = [message["content"] for message in messages[-2 * len(broken) :: 2]]
    return all(
        text is not None and (part == _NO_REPLY or part.strip() in text)
        for part, text in zip(shown, broken, strict=True)
    )


def _has_answer(connection: sa.Connection, calls: sa.Table, call_id: str) -> bool:
    query = sa.select(calls.c.call_id).where(calls.c.call_id == call_id, ~calls.c.is_retired)
    return connection.execute(query).first() is not None


def _reply_text(connection: sa.Connection, calls: sa.Table, call_id: str) -> str | None:
    """Text of a call's active reply; None if there is none."""
    query = sa.select(calls.c.reply).where(calls.c.call_id == call_id, ~calls.c.is_retired)
    reply = connection.execute(query).scalar()
    return None if reply is None else str(json.loads(reply)["text"])


def _is_correction(pair: Sequence[Mapping[str, Any]]) -> bool:
    reply, correction = pair
    text = str(correction["content"])
    is_generated = text.startswith(OPENING) and text.endswith(_CLOSING)
    return bool(reply["role"] == "assistant" and correction["role"] == "user" and is_generated)


def number_repeats(connection: sa.Connection, calls: sa.Table, uses: sa.Table) -> None:
    """Migrate all old repeats of a ledger, and the records of their uses, to the ids of numbered repeats."""
    condition = (calls.c.kind == "chat") & calls.c.request.contains(OPENING, autoescape=True)
    by_first: dict[str, dict[str, str]] = defaultdict(dict)
    for call_id, request in connection.execute(sa.select(calls.c.call_id, calls.c.request).where(condition)):
        decoded = json.loads(request)
        if n_repeats := n_repeats_in(decoded):
            first_id = first_id_of(decoded, n_repeats)
            by_first[first_id][call_id] = repeat_id(first_id, n_repeats)
    for renamed in by_first.values():
        is_old = calls.c.call_id.in_(renamed)
        rows = [dict(row) for row in connection.execute(sa.select(calls).where(is_old)).mappings()]
        connection.execute(calls.delete().where(is_old))
        store_repeats(connection, calls, rows)
        _rename_uses(connection, uses, renamed)


def _rename_uses(connection: sa.Connection, uses: sa.Table, renamed: Mapping[str, str]) -> None:
    is_old = uses.c.call_id.in_(renamed)
    rows = [dict(row) for row in connection.execute(sa.select(uses).where(is_old)).mappings()]
    connection.execute(uses.delete().where(is_old))
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for row in rows:
        named = {**row, "call_id": renamed[row["call_id"]]}
        connection.execute(insert(uses).on_conflict_do_nothing(), named)
