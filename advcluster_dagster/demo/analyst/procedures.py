"""Find the first step at which two traced procedures differ, such as programs executed by hand."""

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
    """Find the first step at which the procedures differ.

    None if either has fewer than two steps, if they trace different things, or if no step differs. If the wrong one is
    cut off, its last step and missing steps are ignored.
    """
    if is_cut_off:
        wrong = wrong[:-1]
        right = right[: len(wrong)]
    if min(len(right), len(wrong)) < _MIN_STEPS or not _is_same_procedure(right, wrong):
        return None
    for index, (right_step, wrong_step) in enumerate(zip_longest(right, wrong)):
        if right_step is None or wrong_step is None:
            return _after_the_end(right, wrong, index)
        if right_step.subject != wrong_step.subject:
            kind = _other_subject(problem, right, wrong, index)
            return Finding(kind, right_step.statement, wrong_step.statement, wrong_step.at)
        if right_step.verdicts != wrong_step.verdicts and right_step.verdicts and wrong_step.verdicts:
            return Finding(Difference.MISTRACED, right_step.statement, wrong_step.statement, wrong_step.at)
        if right_step.outcome != wrong_step.outcome:
            known = f"{problem} {' '.join(step.outcome for step in wrong[:index])}"
            kind = _other_outcome(known, right_step, wrong_step)
            return Finding(kind, right_step.statement, wrong_step.statement, wrong_step.at)
    return None


def _is_same_procedure(right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep]) -> bool:
    """Whether most steps of the shorter procedure have a step of the same subject in the other."""
    right_names, wrong_names = (Counter(step.subject_name for step in steps) for steps in (right, wrong))
    n_shared = (right_names & wrong_names).total()
    return n_shared >= _MIN_STEPS and 2 * n_shared >= min(len(right), len(wrong))


def miscopied_literal(problem: str, right: Sequence[str], wrong: Sequence[str]) -> tuple[str, int] | None:
    """Find a literal of the problem that an early statement of the wrong solution repeats with one element changed.

    Returns:
        The literal and the index of the statement; None if there is none.
    """
    given = _constants_in(problem)
    known = given.union(*map(_constants_in, right))
    for at, statement in enumerate(wrong[:3]):
        for literal in _constants_in(statement) - known:
            for source in sorted(given):
                if _n_changed(source, literal) == 1 or _is_rearranged_call(source, literal):
                    return source, at
    return None


def _constants_in(text: str) -> set[str]:
    """Constant lists and quoted texts of more than two characters, and calls with one number."""
    literals = (literal for literal in literals_in(text) if literal[0] in "'\"[" and len(literal) > 4)
    return {literal for literal in literals if literal[0] != "[" or _is_constant_list(literal)} | set(
        _CALL.findall(text)
    )


def _is_rearranged_call(source: str, literal: str) -> bool:
    return source != literal and source[-1] == literal[-1] == ")" and sorted(source) == sorted(literal)


def _is_constant_list(literal: str) -> bool:
    return "," in literal and not re.search(r"[A-Za-z]", re.sub(r"'[^']*'", "", literal))


def _after_the_end(right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep], index: int) -> Finding:
    """Classify additional steps of the longer procedure: more rounds of a repetition, or further operations."""
    longer = max(right, wrong, key=len)
    is_round = longer[index].subject_name == longer[index - 1].subject_name
    kind = Difference.MISTRACED if is_round else Difference.OTHER_GOAL
    right_step, wrong_step = right[min(index, len(right) - 1)], wrong[min(index, len(wrong) - 1)]
    return Finding(kind, right_step.statement, wrong_step.statement, wrong_step.at)


def _other_subject(
    problem: str, right: Sequence[ProcedureStep], wrong: Sequence[ProcedureStep], index: int
) -> Difference:
    """Classify a step with another subject: a miscopied value if the rest agrees, else a missing or extra round."""
    right_step, wrong_step = right[index], wrong[index]
    is_same_name = right_step.subject_name == wrong_step.subject_name and "=" in right_step.subject
    values = literals_in(wrong_step.subject)
    is_new = bool(values) and values[-1].strip("'\"") not in problem
    is_rest_equal = len(right) == len(wrong) > index + 1 and all(
        right_later.subject == wrong_later.subject
        for right_later, wrong_later in zip(right[index + 1 :], wrong[index + 1 :], strict=True)
    )
    return Difference.MISCOPIED if is_same_name and (is_new or is_rest_equal) else Difference.MISTRACED


def _other_outcome(known: str, right_step: ProcedureStep, wrong_step: ProcedureStep) -> Difference:
    """Classify another outcome of the same step: an unknown number, another rule, or a miscalculation."""
    if set(numbers_in(wrong_step.working)) - set(numbers_in(right_step.working)) - set(numbers_in(known)):
        return Difference.MISCOPIED
    if _is_sum(right_step.working) and _is_sum(wrong_step.working) and right_step.working != wrong_step.working:
        return Difference.MISTRACED
    return Difference.MISCALCULATED


def _is_sum(working: str) -> bool:
    return any(operator in working for operator in "+-*/[")


def _n_changed(source: str, literal: str) -> int:
    """Number of differing elements of two lists, or characters of two texts, of equal length; else -1."""
    if source[0] != literal[0]:
        return -1
    expected, actual = (text.split(",") if text[0] == "[" else list(text) for text in (source, literal))
    return sum(a != b for a, b in zip(expected, actual, strict=True)) if len(expected) == len(actual) else -1
