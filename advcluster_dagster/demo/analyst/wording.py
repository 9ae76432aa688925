"""Find statements of the wrong solution that repeat one of the right solution with another value or negated."""

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
    """A statement split into words and values; number words count as values."""

    text: str
    at: int
    answer: str = ""

    @cached_property
    def tokens(self) -> list[str]:
        """Tokens in order, words in lower case without fillers."""
        plain_words = (_plain(token) for token in _TOKEN.findall(self.text))
        return [token for token in plain_words if token not in _FILLERS and token not in ".,;:!"]

    @cached_property
    def words(self) -> list[str]:
        """Words, sorted, without negations."""
        return sorted(token for token in self.tokens if _is_word(token) and token not in _NEGATIONS)

    @cached_property
    def values(self) -> list[str]:
        """Numbers, quoted texts and spelled-out letters in order."""
        return [token for token in self.tokens if not _is_word(token) and any(map(str.isalnum, token))]

    @property
    def is_negated(self) -> bool:
        """Whether the statement contains an odd number of negations."""
        return sum(token in _NEGATIONS for token in self.tokens) % 2 == 1


def differing_statement(problem: str, right: Trace, wrong: Trace) -> Finding | None:
    """Find the first statement of the wrong solution that repeats one of the right one with another value or sense.

    Statements match if they have the same words in any order, or the same except for a pair of opposites. Another value
    counts only if it occurs neither in the right solution nor in the problem, and is not the answer.
    """
    right_statements = _worded(right)
    # A text without an answer may end within a statement.
    for wrong_statement in _worded(wrong) if wrong.final is not None else _worded(wrong)[:-1]:
        alike = [statement for statement in right_statements if statement.words == wrong_statement.words]
        if any(
            statement.values == wrong_statement.values and statement.is_negated == wrong_statement.is_negated
            for statement in alike
        ):
            continue
        for statement in alike or right_statements:
            kind = _difference(statement, wrong_statement)
            if kind in (Difference.MISTRACED, Difference.OTHER_GOAL) or (
                kind and _is_new(wrong_statement, problem, right_statements, wrong.final)
            ):
                is_given = kind is Difference.MISCALCULATED and set(statement.values) <= _values_in(problem)
                difference = Difference.MISCOPIED if is_given else kind
                return Finding(difference, statement.text, wrong_statement.text, wrong_statement.at)
    return None


def _is_new(wrong: _Statement, problem: str, right: list[_Statement], final: str | None) -> bool:
    """Whether a value occurs neither in the problem, nor in the right solution, nor in the final answer."""
    known = _values_in(f"{problem}\n{final or ''}") | {value for statement in right for value in statement.values}
    return any(value not in known for value in wrong.values)


def _worded(trace: Trace) -> list[_Statement]:
    """Statements of the reasoning without a calculation."""
    calculated = {calculation.at for calculation in trace.calculations}
    worded = [at for at in trace.reasoning if at not in calculated]
    answer = (trace.final or "").lower()
    return [_Statement(trace.statements[at], at, answer) for at in worded[:_MOST_COMPARED]]


def _difference(right: _Statement, wrong: _Statement) -> Difference | None:
    if right.words == wrong.words:
        if right.is_negated != wrong.is_negated:
            return Difference.MISTRACED if len(right.words) >= _FEWEST_SHARED else None
        return Difference.MISCALCULATED if right.words and len(right.values) == len(wrong.values) else None
    if right.values != wrong.values or right.is_negated != wrong.is_negated:
        return None
    if _is_opposite(right.words, wrong.words):
        return Difference.MISTRACED
    # "The smaller value belongs to North" and "The larger value belongs to South", where these are the answers.
    right_words, wrong_words = ([word for word in each.words if word != each.answer] for each in (right, wrong))
    is_choice = len(right_words) < len(right.words) and len(wrong_words) < len(wrong.words)
    return Difference.OTHER_GOAL if is_choice and _is_opposite(right_words, wrong_words) else None


def _is_opposite(right: list[str], wrong: list[str]) -> bool:
    """Whether the words are the same except for one pair of opposites."""
    if len(right) != len(wrong):
        return False
    right_only, wrong_only = list(right), list(wrong)
    for word in right:
        if word in wrong_only:
            right_only.remove(word)
            wrong_only.remove(word)
    n_shared = len(right) - len(right_only)
    is_pair = len(right_only) == len(wrong_only) == 1 and frozenset(right_only + wrong_only) in _PAIRS
    return is_pair and n_shared >= _FEWEST_SHARED


def _values_in(text: str) -> set[str]:
    return set(_Statement(text, 0).values) | set(_inner(literals_in(text)))


def _inner(literals: list[str]) -> Iterator[str]:
    """Elements of lists and texts inside quotes, stripped."""
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
