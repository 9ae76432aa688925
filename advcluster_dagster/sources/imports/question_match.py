"""Check that a logged question equals the imported question of the same id."""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advcluster_dagster.science.grading.answers import AnswerPlace, find_answer
from advcluster_dagster.science.grading.comparison import Comparison, compare_here
from advcluster_dagster.sources.imports.errors import ImportFileError, shown
from advcluster_dagster.sources.imports.options import (
    may_be_same,
    named_options,
    options_in_text,
    same_options,
    without_options,
)

_CHOICES = ("choice", "choices")
Options = dict[str, str] | None
#: Places of the gold answer in a target that is a whole worked solution.
_IN_SOLUTIONS = (AnswerPlace(marker="####"), AnswerPlace())
_MAX_GOLD_CHARACTERS = 100_000


@dataclass(frozen=True)
class _Difference:
    """A question that differs from the imported one: its position, what differs, and both values, shortened."""

    where: str
    question_id: str
    aspect: str
    value: str
    imported: str


@dataclass
class QuestionMatch:
    """Compare the questions in a source with those already known, and record the differences."""

    benchmark: str
    advice: str
    _compared: dict[str, Any] = field(default_factory=dict)
    _differing: dict[str, _Difference] = field(default_factory=dict)
    _unknown: dict[str, str] = field(default_factory=dict)

    def compare(
        self, where: str, known: Mapping[str, Any], carried: Mapping[str, Any], texts: Iterable[str] = ()
    ) -> None:
        """Compare a question with the known one of its id, ignoring white space.

        Args:
            where: Position of the question in its source.
            known: Columns of `benchmark_questions`.
            carried: The same columns as far as the source has them; missing ones are not compared.
            texts: Further texts of the source that may be the question's wording.
        """
        question_id = known["question_id"]
        content = (carried.get("question"), carried.get("prompt"), carried.get("answer"), carried.get("answer_context"))
        if question_id in self._differing or self._compared.get(question_id) == content:
            return
        self._compared[question_id] = content
        for aspect, value, imported in _differences(known, carried, list(texts)):
            self._differing[question_id] = _Difference(where, question_id, aspect, value, imported)
            return

    def add_unknown(self, where: str, question_id: str) -> None:
        """Record a question that is not among the known ones."""
        self._unknown.setdefault(question_id, where)

    def check(self, n_known: int) -> None:
        """Raise if a question differed or was unknown, naming the first and counting the others.

        Raises:
            ImportFileError: a question differed or was unknown.
        """
        n_questions = len(self._compared) + len(self._unknown)
        if self._differing:
            first = next(iter(self._differing.values()))
            others = f", {len(self._unknown)} more are not among the imported ones" if self._unknown else ""
            raise ImportFileError(
                f"{first.where}: question {shown(first.question_id)} is not the one imported for {self.benchmark}: "
                f"{first.aspect} {first.value}, imported: {first.imported}; {len(self._differing)} of {n_questions} "
                f"compared questions differ{others}; {self.advice}"
            )
        if self._unknown:
            question_id, where = next(iter(self._unknown.items()))
            raise ImportFileError(
                f"{where}, field 'question_id': {shown(question_id)} is not a question of the benchmark; "
                f"allowed: the {n_known} imported ones; {len(self._unknown)} of {n_questions} questions are unknown; "
                f"{self.advice}"
            )


def check_overlap(path: Path, earlier: Collection[str], asked: Mapping[str, Collection[str]], advice: str) -> list[str]:
    """Check that models were asked the same questions; a wrong data set may have entirely different ids.

    Args:
        path: The file or folder being imported.
        earlier: Ids of the questions imported before.
        asked: Question ids by model, for the models with traces.
        advice: What to do, for the error message.

    Returns:
        Remarks on models that lack questions of another model.

    Raises:
        ImportFileError: a model shares no question with earlier imports and the other models.
    """
    remarks = []
    for model, ids in asked.items():
        others = set(earlier).union(*(other_ids for other, other_ids in asked.items() if other != model))
        if others and others.isdisjoint(ids):
            raise ImportFileError(
                f"{path}: none of the {len(ids)} questions of model {model} ({shown(min(ids))}, ...) is among the "
                f"{len(others)} of earlier imports and other models ({shown(min(others))}, ...); {advice}"
            )
        missing = set().union(*asked.values()).difference(ids)
        if missing:
            remarks.append(
                f"model {model} lacks {len(missing)} questions that another model has, such as {min(missing)}"
            )
    return remarks


def normal_text(text: str) -> str:
    """Normalise a text: remove white space, compose characters (NFC)."""
    return "".join(unicodedata.normalize("NFC", text).split())


def _differences(
    known: Mapping[str, Any], carried: Mapping[str, Any], texts: list[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield what differs, with both values: the text first, then the options, then the gold answer."""
    kind, question, gold = known["answer_type"], carried.get("question"), carried.get("answer")
    if question is not None:
        known_wordings = _wordings([known["question"], known["prompt"]], kind)
        if not known_wordings & _wordings([question, *texts], kind):
            value, imported = _around_difference(question, known["question"])
            yield "its text is", value, imported
    given = [_given_options(question) for question in (known, carried)]
    listed = [_listed_options(question) if kind in _CHOICES else None for question in (known, carried)]
    if (pair := _differing_options(given, listed)) is not None:
        yield "its options are", shown(_as_line(pair[1])), shown(_as_line(pair[0]))
    if gold is not None and not _is_same_gold(known, str(gold), given[0] or listed[0]):
        yield "its gold answer is", shown(str(gold)), shown(known["answer"])


def _wordings(texts: Iterable[str], kind: str) -> set[str]:
    """The normalised texts, for multiple-choice questions also without the options listed in them."""
    actual = {normal_text(text) for text in texts}
    if kind in _CHOICES:
        actual |= {normal_text(without_options(text)) for text in texts}
    return actual - {""}


def _given_options(question: Mapping[str, Any]) -> Options:
    context = question.get("answer_context")
    try:
        entries = json.loads(context) if isinstance(context, str) else context
    except (ValueError, RecursionError):
        return None
    return named_options(entries.get("options")) if isinstance(entries, Mapping) else None


def _listed_options(question: Mapping[str, Any]) -> Options:
    actual = (options_in_text(question.get(name) or "") for name in ("question", "prompt"))
    return next((options for options in actual if options), None)


def _differing_options(given: list[Options], listed: list[Options]) -> tuple[dict[str, str], dict[str, str]] | None:
    """Options of the known and the carried question if both have some and they differ."""
    known, carried = given[0] or listed[0], given[1] or listed[1]
    if not known or not carried:
        return None
    is_same = (same_options if all(given) else may_be_same)(known, carried)
    return None if is_same else (known, carried)


def _as_line(options: dict[str, str]) -> str:
    return ", ".join(f"{letter}: {' '.join(text.split())}" for letter, text in options.items())


def _is_same_gold(known: Mapping[str, Any], gold: str, options: dict[str, str] | None) -> bool:
    """Whether both gold answers are equal, as texts or as the question's answer type compares them."""
    known_gold = known["answer"]
    if normal_text(known_gold) == normal_text(gold):
        return True
    if max(len(known_gold), len(gold)) > _MAX_GOLD_CHARACTERS:
        return False
    kind = known["answer_type"]
    context = json.dumps({"options": options}) if options and kind in _CHOICES else None
    inside = (find_answer(gold, None, place, kind).prediction for place in _IN_SOLUTIONS)
    pairs = [(known_gold, gold), (gold, known_gold), *((known_gold, actual) for actual in inside if actual)]
    return any(
        normal_text(expected) == normal_text(actual)
        or compare_here(Comparison(kind, expected, actual, context)) == "correct"
        for expected, actual in pairs
    )


def _around_difference(text: str, imported: str) -> tuple[str, str]:
    """Both texts, shortened around the first difference."""
    words = [" ".join(each.split()) for each in (text, imported)]
    n_equal = next((n for n, pair in enumerate(zip(*words, strict=False)) if pair[0] != pair[1]), min(map(len, words)))
    start = max(0, n_equal - 20) if n_equal > 40 else 0
    mark = "..." if start else ""
    first, second = (shown(mark + re.sub(r"\s", " ", each[start : start + 57])) for each in words)
    return first, second
