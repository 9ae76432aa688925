"""Render an audit for a terminal and as JSON.

Control characters in texts of models and files are escaped.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Column, Table
from rich.text import Text as Line
from rich.tree import Tree

from advcluster_dagster.audit.differences import Change
from advcluster_dagster.audit.records import Node, Text
from advcluster_dagster.audit.verify import Verification
from advcluster_dagster.report.formatting import foreign_text

#: Maximum number of characters of a text, and of a node's children of one kind, shown on a terminal.
TEXT_LIMIT, MOST_CHILDREN = 160, 2
_HASHES = ("prompt_hash", "sha256")
_IN_FULL_ONLY = ("n_messages", "served_model")


def chain_tree(node: Node) -> Tree:
    """Render a chain as a tree."""
    tree = Tree(_title(node))
    _grow(tree, node)
    return tree


def _grow(tree: Tree, node: Node) -> None:
    if node.kind == "file":
        return
    for line in fact_lines(node.facts):
        tree.add(Line(line, style="dim"))
    for child in node.children:
        _grow(tree.add(_title(child)), child)
    if node.n_left_out:
        tree.add(Line(f"… and {node.n_left_out} more (--json and --page have all)", style="dim"))


def _title(node: Node) -> Line:
    name = node.name[:12] if node.kind.endswith("call") else node.name
    title = Line.assemble((node.kind, "bold"), " ", foreign_text(name, TEXT_LIMIT))
    if node.kind == "file":
        title.append(f": {_file_line(node.facts)}", style="dim")
    return title


def _file_line(facts: Mapping[str, Any]) -> str:
    """Return a file's run and hashes on one line."""
    run = f"run {str(facts.get('run_id'))[:8]} at {facts.get('made_at')}" if "run_id" in facts else "no run known"
    hashes = [f"{name} {str(facts[name])[:8]}" for name in ("code", "settings", "prompts") if name in facts]
    content = [f"{facts['n_rows']} rows {facts['content_hash'][:8]}"] if "content_hash" in facts else []
    return ", ".join([run, *hashes, *content, *([] if facts["is_sound"] else ["NOT SOUND"])])


def fact_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield a node's known facts: short ones on one line, each text on its own line."""
    known = {
        name: value for name, value in facts.items() if name not in _IN_FULL_ONLY and value not in (None, "", [], {})
    }
    short = [f"{_words(name)} {_value(name, value)}" for name, value in known.items() if not isinstance(value, Text)]
    if short:
        yield ", ".join(short)
    for name, value in known.items():
        if isinstance(value, Text):
            yield f"{_words(name)}: {shown_text(value)}"


def shown_text(text: Text) -> str:
    """Render a text; a truncated one with length and hash of the whole."""
    remark = f" … ({text.n_characters:,} characters, sha256 {text.sha256[:12]})" if text.is_cut else ""
    return f"{foreign_text(text.shown, len(text.shown))}{remark}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return text[:12] if name in _HASHES else foreign_text(text, TEXT_LIMIT)


def counts_table(verification: Verification) -> Table:
    """Return a table with one row per audited table: counts of what was verified."""
    headings = ("files", "rows", "hashes", "references", "model calls", "breaks")
    table = Table(Column("table", no_wrap=True), *(Column(name, justify="right") for name in headings), box=box.SIMPLE)
    for count in verification.counts.values():
        numbers = (count.n_files, count.n_rows, count.n_hashes, count.n_references, count.n_calls, count.n_breaks)
        table.add_row(count.table, *(f"{number:,}" if number else "" for number in numbers))
    return table


def break_lines(verification: Verification) -> list[str]:
    """Return one line per break."""
    return [foreign_text(line.line, len(line.line)) for line in verification.breaks]


def change_lines(changes: list[Change]) -> Iterator[str]:
    """Yield lines that describe changes, newest first."""
    for change in changes:
        made, before = change.made, change.before
        yield f"{made.time:%Y-%m-%d %H:%M:%S} UTC, run {made.run_id[:8]}, {made.n_rows} rows, {made.data_version[:12]}"
        if before is None:
            yield "  the first materialisation in the event log"
            continue
        yield f"  after run {before.run_id[:8]} of {before.time:%Y-%m-%d %H:%M:%S} UTC"
        yield from (f"  {foreign_text(reason, 400)}" for reason in change.reasons)
        yield "  its rows changed" if change.has_other_rows else "  its rows are the same"


def audit_json(verification: Verification, chain: Node | None) -> str:
    """Return an audit as one JSON object."""
    content = {
        "study": verification.study.study,
        "is_intact": verification.is_intact,
        "tables": [vars(count) for count in verification.counts.values()],
        "breaks": [line.as_dict() for line in verification.breaks],
        "notes": verification.notes,
        **({"chain": chain.as_dict()} if chain else {}),
    }
    return json.dumps(content, default=str)


def changes_json(changes: list[Change]) -> str:
    """Return changes as JSON."""
    return json.dumps([change.as_dict() for change in changes], default=str)
