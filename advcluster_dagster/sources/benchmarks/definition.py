"""Declare a benchmark: its data set, which rows to use, how to convert a row to a question."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.sources.imports.fields import SpelledFloat


class BenchmarkError(AdvClusterError, ValueError):
    """Questions could not be loaded; the one-line message says what to do."""


class BadRowError(ValueError):
    """A row cannot be converted to a question; the loader skips it and reports it in a warning."""


@dataclass(frozen=True)
class Row:
    """A row of a data set; ``number`` is its index in the file, from 0."""

    values: Mapping[str, Any]
    number: int

    def text(self, name: str) -> str:
        """Return a required field as text without surrounding blanks.

        Raises:
            BadRowError: the field is missing, blank, or neither text nor a number.
        """
        if (field := self.optional(name)) is None:
            raise BadRowError(f"no {name}")
        return field

    def optional(self, name: str) -> str | None:
        """Like :meth:`text`, but None for a field that is missing or blank."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str | int | float):
            raise BadRowError(f"{name} is neither text nor a number")
        text = value.spelling if isinstance(value, SpelledFloat) else str(value)
        return None if value is None else text.strip() or None

    def number_in(self, name: str) -> float:
        """Return a required field as a number.

        Raises:
            BadRowError: the field is missing or not a number.
        """
        text = self.text(name)
        try:
            return float(text)
        except ValueError:
            raise BadRowError(f"{name} {text[:40]!r} is not a number") from None


@dataclass(frozen=True)
class Item:
    """A question; ``prompt`` is the text sent to models, and later shown to judges as the problem.

    ``context`` holds what grading needs besides the answer: tolerance, tolerance_kind (absolute or relative), unit,
    options (by letter), code, input, output. ``source_key`` identifies the item that several questions derive from,
    if it is not the question itself.
    """

    source_id: str
    question: str
    prompt: str
    answer: str
    answer_type: str
    context: Mapping[str, Any] | None = None
    source_key: str | None = None


@dataclass(frozen=True)
class BenchmarkDefinition:
    """A benchmark as its file declares it.

    Attributes:
        name: Name in study files, and prefix of question ids.
        dataset: Id of the data set on the Hugging Face Hub; empty only for `source: jsonl`.
        revision: Commit of the data set, 40 hexadecimal digits; empty for local files.
        files: Possible names of the file of rows in the data set; the first one that exists is read.
        size: Expected number of questions, by domain if the data set is split by domain; None if unknown.
        rows: Which rows are used, in words.
        answers: Answer types and how they are compared, in words.
        read: Converts a row to a question of a domain; None if the row is not used there.
        example: A made-up row in the data set's schema.
        keeps_ids: Whether ids are used as given, without the benchmark's name as prefix.

    Raises:
        ValueError: the data set has a revision that is not a commit.
    """

    name: str
    dataset: str
    revision: str
    files: tuple[str, ...]
    size: int | Mapping[str, int] | None
    rows: str
    answers: str
    read: Callable[[Row, str], Item | None]
    example: Mapping[str, Any]
    keeps_ids: bool = False

    def __post_init__(self) -> None:
        if self.dataset and not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(f"benchmark {self.name}: revision is {self.revision!r}; allowed: 40 hexadecimal digits")

    def expected_size(self, domain: str) -> int | None:
        """Expected number of questions in a domain; None if unknown.

        Raises:
            BenchmarkError: the data set is split by domain and has none of that name.
        """
        if not isinstance(self.size, Mapping):
            return self.size
        if domain not in self.size:
            raise BenchmarkError(
                f"benchmark {self.name!r} has no questions for domain {domain!r}; allowed: {', '.join(self.size)}"
            )
        return self.size[domain]
