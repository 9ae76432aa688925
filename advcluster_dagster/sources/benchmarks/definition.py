"""The declaration of a benchmark: its data set, which rows count, how a row becomes a question."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.sources.imports.fields import SpelledFloat


class BenchmarkError(AdvClusterError, ValueError):
    """Questions could not be loaded; one line that says what to do."""


class BadRowError(ValueError):
    """A row of a data set that makes no question; the loader counts and names it, the others stay."""


@dataclass(frozen=True)
class Row:
    """A row of a data set; ``number`` is its place in the file, from 0."""

    values: Mapping[str, Any]
    number: int

    def text(self, name: str) -> str:
        """A field that must be there, as text without surrounding blanks.

        Raises:
            BadRowError: it is missing, blank, or neither text nor a number.
        """
        if (field := self.optional(name)) is None:
            raise BadRowError(f"no {name}")
        return field

    def optional(self, name: str) -> str | None:
        """As :meth:`text`, None for a field that is missing or blank."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str | int | float):
            raise BadRowError(f"{name} is neither text nor a number")
        text = value.spelling if isinstance(value, SpelledFloat) else str(value)
        return None if value is None else text.strip() or None

    def number_in(self, name: str) -> float:
        """A field that holds a number.

        Raises:
            BadRowError: it is missing or holds something else.
        """
        text = self.text(name)
        try:
            return float(text)
        except ValueError:
            raise BadRowError(f"{name} {text[:40]!r} is not a number") from None


@dataclass(frozen=True)
class Item:
    """A question: ``prompt`` is what models are asked and what judges later read as the problem.

    ``context`` holds what grading needs beside the answer: tolerance, tolerance_kind (absolute or relative), unit,
    options (by letter), code, input, output. ``source_key`` names the item that several questions come from, where
    that is not the question itself.
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
        name: its name in study files, the beginning of its question ids.
        dataset: id of the data set on the Hugging Face Hub; empty for files of one's own.
        revision: commit of the data set.
        files: names that the file of rows may have in the data set; the first one that exists is read.
        size: questions expected, by domain where the data set serves several; None where nothing is expected.
        rows: which rows count, in words.
        answers: answer types and how they are compared, in words.
        read: a row as a question of a domain; None for a row that does not count there.
        example: a made-up row in the data set's own schema.
        keeps_ids: whether ids stay as the data set gives them, without the benchmark's name.
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

    def expected_size(self, domain: str) -> int | None:
        """Questions expected in a domain; None where nothing is known.

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
