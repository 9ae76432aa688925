"""Statements of the wrong solution that repeat one of the right solution with another value, or negated."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from advcluster_dagster.demo.analyst.arithmetic import WORDS
from advcluster_dagster.demo.analyst.findings import Difference, Finding
from advcluster_dagster.demo.analyst.reading import Trace, literals_in

_MOST_COMPARED = 60
_FEWEST_SHARED = 2
_TOKEN = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|-?\d+(?:\.\d+)?|[A-Za-z](?:-[A-Za-z])+\b|[A-Za-z]+(?:'[a-z]+)?|[^\s\w]")
_FILLERS = frozenset(
    ("the", "a", "an", "is", "are", "was", "so", "then", "thus", "hence", "therefore", "now", "of", "in", "to", "we")
) | {"it", "that", "this", "there", "and"}
_OPPOSITES = (
    "even odd,true false,more less,more fewer,greater smaller,greater less,larger smaller,above below,left right,"
    "before after,first last,increases decreases,increase decrease,rises falls,adds subtracts,add subtract,"
    "multiply divide,maximum minimum,positive negative,all none,all some,ascending descending,up down,holds fails,"
    "acid base,inside outside,oxidised reduced,oxidized reduced,yes no,always never,longer shorter,faster slower,"
    "heavier lighter,clockwise anticlockwise,forwards backwards,numerator denominator"
)
_PAIRS = {frozenset(pair.split()) for pair in _OPPOSITES.split(",")}
_NEGATIONS = frozenset({"not", "no", "never", "isn't", "doesn't", "aren't", "cannot", "can't", "don't", "won't"})


@dataclass(frozen=True)
class _Statement:
    """A statement in words and values; numbers written as words count as values."""

    text: str
    at: int
    answer: str = ""

    @cached_property
    def tokens(self) -> list[str]:
        """Its tokens in order, words in small letters without fillers."""
        plain_words = (_plain(token) for token in _TOKEN.findall(self.text))
        return [token for token in plain_words if token not in _FILLERS and token not in ".,;:!"]

    @cached_property
    def words(self) -> list[str]:
        """Its words, sorted, without negations."""
        return sorted(token for token in self.tokens if _is_word(token) and token not in _NEGATIONS)

    @cached_property
    def values(self) -> list[str]:
        """Its numbers, quoted texts and spelled-out letters in order."""
        return [token for token in self.tokens if not _is_word(token) and any(map(str.isalnum, token))]

    @property
    def is_negated(self) -> bool:
        """Whether it holds an odd number of negations."""
        return sum(token in _NEGATIONS for token in self.tokens) % 2 == 1


def differing_statement(problem: str, right: Trace, wrong: Trace) -> Finding | None:
    """The first statement of the wrong solution that repeats a statement of the right one but for its value or sense.

    Statements count as repeated when their words are the same in any order, or the same but for one pair of
    opposites. Another value counts only if it stands nowhere in the right solution and the problem, and is not the
    answer.
    """
    ours = _worded(right)
    # A text without an answer may end within a statement.
    for theirs in _worded(wrong) if wrong.final is not None else _worded(wrong)[:-1]:
        alike = [mine for mine in ours if mine.words == theirs.words]
        if any(mine.values == theirs.values and mine.is_negated == theirs.is_negated for mine in alike):
            continue
        for mine in alike or ours:
            kind = _difference(mine, theirs)
            if kind in (Difference.MISTRACED, Difference.OTHER_GOAL) or (
                kind and _is_new(theirs, problem, ours, wrong.final)
            ):
                is_given = kind is Difference.MISCALCULATED and set(mine.values) <= _values_in(problem)
                return Finding(Difference.MISCOPIED if is_given else kind, mine.text, theirs.text, theirs.at)
    return None


def _is_new(theirs: _Statement, problem: str, ours: list[_Statement], final: str | None) -> bool:
    """Whether a value stands neither in the problem nor in the right solution. That the answers differ is known; where
    is the question.
    """
    known = _values_in(f"{problem}\n{final or ''}") | {value for mine in ours for value in mine.values}
    return any(value not in known for value in theirs.values)


def _worded(trace: Trace) -> list[_Statement]:
    """The statements of the reasoning that hold no calculation."""
    calculated = {plain_words.at for plain_words in trace.calculations}
    worded = [at for at in trace.reasoning if at not in calculated]
    answer = (trace.final or "").lower()
    return [_Statement(trace.statements[at], at, answer) for at in worded[:_MOST_COMPARED]]


def _difference(mine: _Statement, theirs: _Statement) -> Difference | None:
    if mine.words == theirs.words:
        if mine.is_negated != theirs.is_negated:
            return Difference.MISTRACED if len(mine.words) >= _FEWEST_SHARED else None
        return Difference.MISCALCULATED if mine.words and len(mine.values) == len(theirs.values) else None
    if mine.values != theirs.values or mine.is_negated != theirs.is_negated:
        return None
    if _is_opposite(mine.words, theirs.words):
        return Difference.MISTRACED
    # "The smaller value belongs to North" and "The larger value belongs to South", these being the answers.
    ours, others = ([word for word in each.words if word != each.answer] for each in (mine, theirs))
    is_choice = len(ours) < len(mine.words) and len(others) < len(theirs.words)
    return Difference.OTHER_GOAL if is_choice and _is_opposite(ours, others) else None


def _is_opposite(mine: list[str], theirs: list[str]) -> bool:
    """Whether the words are the same but for one pair of opposites."""
    if len(mine) != len(theirs):
        return False
    ours, others = list(mine), list(theirs)
    for word in mine:
        if word in others:
            ours.remove(word)
            others.remove(word)
    n_shared = len(mine) - len(ours)
    return len(ours) == len(others) == 1 and frozenset(ours + others) in _PAIRS and n_shared >= _FEWEST_SHARED


def _values_in(text: str) -> set[str]:
    return set(_Statement(text, 0).values) | set(_inner(literals_in(text)))


def _inner(literals: list[str]) -> Iterator[str]:
    """The elements of lists and the texts inside quotes, as they may stand on their own."""
    for literal in literals:
        yield from (part.strip(" '\"[]") for part in literal.split(","))


def _plain(token: str) -> str:
    word = token.lower()
    if word in WORDS:
        return f"{WORDS[word]:g}"
    if token[-1].isdigit() and (token[0].isdigit() or token[0] == "-"):
        return f"{float(token):g}"
    return token if token[0] in "'\"" else word


def _is_word(token: str) -> bool:
    return token[0].isalpha() and "-" not in token
