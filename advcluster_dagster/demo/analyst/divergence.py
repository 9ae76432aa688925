"""Find the first relevant difference between a right and a wrong solution (first error, paper section 3.2.2).

Differences in wording do not count, nor do other ways to the same numbers.
"""

import re

from advcluster_dagster.demo.analyst.answers import differing_answer
from advcluster_dagster.demo.analyst.findings import Difference, Finding, NoContrast
from advcluster_dagster.demo.analyst.numbers import NumericComparison
from advcluster_dagster.demo.analyst.procedures import compare_procedures, miscopied_literal
from advcluster_dagster.demo.analyst.reading import Trace, read_trace
from advcluster_dagster.demo.analyst.wording import differing_statement

_PROGRAM = re.compile(r"^\s*def \w+\(.*\):|```python", re.MULTILINE)


def find_divergence(problem: str, right_text: str, wrong_text: str) -> Finding | NoContrast:
    """Find the first relevant difference between a right and a wrong solution, or the reason why there is none."""
    right, wrong = read_trace(right_text), read_trace(wrong_text)
    if not right.has_reasoning or not wrong.has_reasoning:
        return _without_reasoning(right, wrong)
    location = _located(problem, right, wrong)
    if location:
        return location
    return NoContrast.NOT_LOCATED if wrong.final is not None else NoContrast.UNFINISHED


def _without_reasoning(right: Trace, wrong: Trace) -> NoContrast:
    if right.has_reasoning:
        return NoContrast.WRONG_WITHOUT_REASONING
    return NoContrast.RIGHT_WITHOUT_REASONING if wrong.has_reasoning else NoContrast.NO_REASONING


def _located(problem: str, right: Trace, wrong: Trace) -> Finding | None:
    """Return the first cue found, checking the stages of a solution in order."""
    if location := miscopied_literal(problem, right.statements, wrong.statements):
        source, at = location
        return Finding(Difference.MISCOPIED, source, wrong.statements[at], at)
    is_program = _PROGRAM.search(problem) is not None
    if is_program or not (right.calculations or wrong.calculations):
        right_steps, wrong_steps = (
            [step for step in trace.steps if is_program or "=" in step.subject or step.verdicts]
            for trace in (right, wrong)
        )
        located = compare_procedures(problem, right_steps, wrong_steps, is_cut_off=wrong.final is None)
        if located:
            return located
    return (
        NumericComparison(problem, right, wrong).first()
        or differing_statement(problem, right, wrong)
        or differing_answer(right, wrong)
    )
