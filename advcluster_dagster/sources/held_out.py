"""Load held-out questions, which must never be trained on: question ids of a study, or files of questions."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.sources.imports.json_lines import JsonLines


class HeldOutError(AdvClusterError, ValueError):
    """Held-out questions could not be determined; the message is one line."""


def held_out_files(root: Path, entries: Sequence[str]) -> dict[str, Path]:
    """Map entries that are files to their paths, relative to the home folder."""
    paths = {entry: root / entry for entry in dict.fromkeys(entries) if len(entry) < 250}
    return {entry: path for entry, path in paths.items() if path.is_file()}


def held_out_questions(
    root: Path, entries: Sequence[str], questions: pl.DataFrame, domains: Sequence[str]
) -> pl.DataFrame:
    """Columns question_id and question of all held-out questions; questions from files get the id FILE:NUMBER.

    Args:
        root: Home folder.
        entries: Question ids, or files (JSON Lines with ``question``).
        questions: Columns question_id, question and domain of the study, as far as loaded.
        domains: Domains of the study, to list those whose questions are not loaded yet.

    Raises:
        HeldOutError: an entry is neither a question nor a file, or a question in a file has no text to compare.
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
            not_loaded = f" (domains without questions yet: {', '.join(absent)})" if absent else ""
            advice = "correct it in the study file" + (", or load those questions first" if absent else "")
            raise HeldOutError(
                f"preferences.held_out: {entry[:99]!r} is neither a question of the study{not_loaded} nor a file in"
                f" {root}; {advice}"
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
