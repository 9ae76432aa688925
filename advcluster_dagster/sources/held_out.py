"""Questions that must never be trained on: ids of a study, or files of questions."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.sources.imports.json_lines import JsonLines


class HeldOutError(AdvClusterError, ValueError):
    """What is to be held out cannot be told; one line."""


def held_out_files(root: Path, entries: Sequence[str]) -> dict[str, Path]:
    """The entries that are files, by entry; a path starts at the home folder."""
    paths = {entry: root / entry for entry in dict.fromkeys(entries) if len(entry) < 250}
    return {entry: path for entry, path in paths.items() if path.is_file()}


def held_out_questions(
    root: Path, entries: Sequence[str], questions: pl.DataFrame, domains: Sequence[str]
) -> pl.DataFrame:
    """question_id and question of everything held out; questions of a file are numbered, FILE:LINE.

    Args:
        root: the home folder.
        entries: ids of questions, or files (JSON Lines with ``question``).
        questions: question_id, question and domain of the study, as far as they are there.
        domains: of the study, to name those whose questions are not there yet.

    Raises:
        HeldOutError: an entry is neither a question nor a file, or a question of a file has no text to compare.
    """
    files = held_out_files(root, entries)
    texts = dict(questions.select("question_id", "question").iter_rows())
    absent = [domain for domain in domains if domain not in set(questions["domain"])]
    rows: list[tuple[str, str]] = []
    for entry in dict.fromkeys(entries):
        if entry in texts:
            rows.append((entry, texts[entry]))
        elif entry in files:
            rows += _questions_of(entry, files[entry])
        else:
            so_far = f" (none yet of {', '.join(absent)})" if absent else ""
            what_to_do = "correct it in the study file" + (", or bring those questions first" if absent else "")
            raise HeldOutError(
                f"preferences.held_out: {entry[:99]!r} is neither a question of the study{so_far} nor a file in {root};"
                f" {what_to_do}"
            )
    return pl.DataFrame(rows, schema={"question_id": pl.String, "question": pl.String}, orient="row")


def _questions_of(entry: str, path: Path) -> list[tuple[str, str]]:
    rows = []
    for number, (where, record) in enumerate(JsonLines(path), start=1):
        text = record.get("question")
        if not isinstance(text, str) or not any(character.isalnum() for character in text):
            raise HeldOutError(f"{where}, field 'question': missing or without a word; allowed: text of a question")
        rows.append((f"{entry}:{number}", text))
    return rows
