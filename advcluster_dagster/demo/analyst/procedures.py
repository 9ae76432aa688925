"""The first step at which two traced procedures differ: programs run by hand, rules applied round by round."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from advcluster_dagster.demo.analyst.arithmetic import numbers_in
from advcluster_dagster.demo.analyst.findings import Difference, Finding
from advcluster_dagster.demo.analyst.reading import ProcedureStep, literals_in

_MIN_STEPS = 2
_CALL = re.compile(r"\b[a-z]\w*\(\d{2,}\)")


def compare_procedures(
    problem: str, right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep], is_cut_off: bool = False
) -> Finding | None:
    """The first step at which the procedures part; None when there are fewer than two steps, when they are steps of
    different things, or none differs. Of a wrong one that is cut off, the last step and what is missing do not count.
    """
    if is_cut_off:
        wrong = wrong[:-1]
        right = right[: len(wrong)]
    if min(len(right), len(wrong)) < _MIN_STEPS or not _is_same_procedure(right, wrong):
        return None
    for index, (ours, theirs) in enumerate(zip_longest(right, wrong)):
        if ours is None or theirs is None:
            return _after_the_end(right, wrong, index)
        if ours.subject != theirs.subject:
            return Finding(_other_subject(problem, right, wrong, index), ours.statement, theirs.statement, theirs.at)
        if ours.verdicts != theirs.verdicts and ours.verdicts and theirs.verdicts:
            return Finding(Difference.MISTRACED, ours.statement, theirs.statement, theirs.at)
        if ours.outcome != theirs.outcome:
            known = f"{problem} {' '.join(step.outcome for step in wrong[:index])}"
            return Finding(_other_outcome(known, ours, theirs), ours.statement, theirs.statement, theirs.at)
    return None


def _is_same_procedure(right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep]) -> bool:
    """Whether most steps of the shorter one have their like in the other, by what they are about."""
    ours, theirs = (Counter(step.subject_name for step in steps) for steps in (right, wrong))
    n_shared = (ours & theirs).total()
    return n_shared >= _MIN_STEPS and 2 * n_shared >= min(len(right), len(wrong))


def miscopied_literal(problem: str, right: Sequence[str], wrong: Sequence[str]) -> tuple[str, int] | None:
    """A list or quoted text of the problem, and the wrong solution's early statement that repeats it with one
    element changed.
    """
    given = _constants_in(problem)
    ours = given.union(*map(_constants_in, right))
    for at, statement in enumerate(wrong[:3]):
        for literal in _constants_in(statement) - ours:
            for source in sorted(given):
                if _n_changed(source, literal) == 1 or _is_rearranged_call(source, literal):
                    return source, at
    return None


def _constants_in(text: str) -> set[str]:
    """Lists without names in them and quoted texts, of more than two characters; calls with one number."""
    literals = (literal for literal in literals_in(text) if literal[0] in "'\"[" and len(literal) > 4)
    return {literal for literal in literals if literal[0] != "[" or _is_constant_list(literal)} | set(
        _CALL.findall(text)
    )


def _is_rearranged_call(source: str, literal: str) -> bool:
    return source != literal and source[-1] == literal[-1] == ")" and sorted(source) == sorted(literal)


def _is_constant_list(literal: str) -> bool:
    return "," in literal and not re.search(r"[A-Za-z]", re.sub(r"'[^']*'", "", literal))


def _after_the_end(right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep], index: int) -> Finding:
    """One procedure has more steps: rounds of the same repetition, or something done after it."""
    longer = max(right, wrong, key=len)
    is_round = longer[index].subject_name == longer[index - 1].subject_name
    kind = Difference.MISTRACED if is_round else Difference.OTHER_GOAL
    ours, theirs = right[min(index, len(right) - 1)], wrong[min(index, len(wrong) - 1)]
    return Finding(kind, ours.statement, theirs.statement, theirs.at)


def _other_subject(
    problem: str, right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep], index: int
) -> Difference:
    """A step at something else: a value copied wrongly when the rest goes on in step, else a round left out or
    added.
    """
    ours, theirs = right[index], wrong[index]
    is_same_name = ours.subject_name == theirs.subject_name and "=" in ours.subject
    values = literals_in(theirs.subject)
    is_new = bool(values) and values[-1].strip("'\"") not in problem
    goes_on = len(right) == len(wrong) > index + 1 and all(
        one.subject == other.subject for one, other in zip(right[index + 1 :], wrong[index + 1 :], strict=True)
    )
    return Difference.MISCOPIED if is_same_name and (is_new or goes_on) else Difference.MISTRACED


def _other_outcome(known: str, ours: ProcedureStep, theirs: ProcedureStep) -> Difference:
    """Another outcome at the same place: a strange number, a slip where the working agrees or is not shown, else
    another rule.
    """
    if set(numbers_in(theirs.working)) - set(numbers_in(ours.working)) - set(numbers_in(known)):
        return Difference.MISCOPIED
    if _is_sum(ours.working) and _is_sum(theirs.working) and ours.working != theirs.working:
        return Difference.MISTRACED
    return Difference.MISCALCULATED


def _is_sum(working: str) -> bool:
    return any(operator in working for operator in "+-*/[")


def _n_changed(source: str, literal: str) -> int:
    """Number of changed elements between two lists, or characters between two texts, of equal length; else -1."""
    if source[0] != literal[0]:
        return -1
    one, other = (text.split(",") if text[0] == "[" else list(text) for text in (source, literal))
    return sum(a != b for a, b in zip(one, other, strict=True)) if len(one) == len(other) else -1
