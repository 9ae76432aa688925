"""Verbalise a solution: the text of a simulated trace, which varies between trials."""

from collections.abc import Sequence
from random import Random

from advcluster_dagster.demo.simulation.expressions import names_in
from advcluster_dagster.demo.simulation.problems import Line, Solution

_OPENINGS = (
    "",
    "",
    "Let me work through this.",
    "We go step by step.",
    "I will start with what is known.",
    "Here is a worked solution.",
)
_LEADS = ("Next,", "Then", "Now", "After that,")
_CHECKS = (
    "Every quantity of the question has been used once.",
    "The size of this is plausible.",
    "Going back over the steps gives the same value.",
    "The unit is the one that was asked for.",
)
_CLOSINGS = ("So the answer is {}.", "Therefore the result is {}.", "Final answer: {}", "Hence {}.", "This gives {}.")


def write_response(solution: Solution, is_program: bool, is_enumerating: bool, is_larger: bool, rng: Random) -> str:
    """Write the response text of a trial."""
    steps = _program_steps(solution, rng) if is_program else _worked_steps(solution, is_enumerating, rng)
    if is_enumerating:
        mark = rng.choice(["Step {}: ", "{}. ", "({}) "])
        steps = [mark.format(number) + step for number, step in enumerate(steps, 1)]
    parts = [rng.choice(_OPENINGS), _givens(solution, is_program, rng), *steps, solution.remark]
    if rng.random() < (0.4 if is_larger else 0.15):
        parts.append(rng.choice(_CHECKS))
    parts.append(_closing(solution.final, is_program, rng))
    return rng.choice(["\n", "\n", "\n\n", " "]).join(part for part in parts if part)


def cut_response(text: str, rng: Random) -> str:
    """Truncate a response as at the token limit."""
    return text[: max(int(len(text) * rng.uniform(0.35, 0.75)), 1)]


def drop_answer(text: str) -> str:
    """Remove the answer from a response, as if the run stopped before it."""
    head = text.split("\\boxed")[0].split("[ANSWER]")[0]
    return head[: head.rstrip().rfind("\n")] if "\n" in head.strip() else "I could not settle this one."


def _closing(final: str, is_program: bool, rng: Random) -> str:
    if is_program:
        return rng.choice(["", "So f returns this value:\n"]) + f"[ANSWER]{final}[/ANSWER]"
    return rng.choice(_CLOSINGS).format(f"\\boxed{{{final}}}")


def _givens(solution: Solution, is_program: bool, rng: Random) -> str:
    if rng.random() < 0.2:
        return ""
    if is_program:
        return rng.choice(["The call is f({}).", "We trace f({}).", "The function starts with {}."]).format(
            solution.givens[0][2]
        )
    listed = [f"{label} {symbol} = {value}" for label, symbol, value in solution.givens]
    if rng.random() < 0.3:
        listed = [f"{symbol} = {value} ({label})" for label, symbol, value in solution.givens]
    return rng.choice(["Given: ", "We know: ", "The question gives ", "Known values: "]) + ", ".join(listed) + "."


def _worked_steps(solution: Solution, is_enumerating: bool, rng: Random) -> list[str]:
    times = " \u00d7 " if is_enumerating else " * "
    lines = _merge_steps(solution.lines, rng) if rng.random() < 0.2 else solution.lines
    leads = [rng.choice(_LEADS if at else ("First,", "To begin,")) for at in range(len(lines))]
    return [_worked_step(line, lead, rng).replace(" * ", times) for lead, line in zip(leads, lines, strict=True)]


def _worked_step(line: Line, lead: str, rng: Random) -> str:
    numbers = line.result if line.working == line.result else f"{line.working} = {line.result}"
    unit = f" {line.unit}" if line.unit and rng.random() < 0.6 else ""
    return rng.choice(
        [
            f"{lead} the {line.label} is {line.symbol} = {line.relation} = {numbers}{unit}.",
            f"{line.label[0].upper()}{line.label[1:]}: {numbers}{unit}.",
            f"{lead} {line.symbol} = {line.relation}, that is {numbers}{unit}.",
            f"For the {line.label} we use {line.symbol} = {line.relation}. This is {numbers}{unit}.",
            f"{lead} we need the {line.label}: {line.symbol} = {numbers}{unit}.",
        ]
    )


def _merge_steps(lines: Sequence[Line], rng: Random) -> list[Line]:
    """Merge one step into the next, if the next uses its result."""
    at = rng.randrange(len(lines))
    if at + 1 >= len(lines) or lines[at].symbol not in names_in(lines[at + 1].relation):
        return list(lines)
    step, following = lines[at], lines[at + 1]
    if f"{step.result}" not in following.working:
        return list(lines)
    working = following.working.replace(step.result, f"({step.working})", 1)
    merged = Line(
        following.label,
        following.symbol,
        following.relation,
        f"{working} = {following.working}",
        following.result,
        following.unit,
    )
    return [*lines[:at], merged, *lines[at + 2 :]]


def _program_steps(solution: Solution, rng: Random) -> list[str]:
    style = rng.randrange(3)
    holds, fails = rng.choice([("is true", "is false"), ("holds", "does not hold")])
    steps = []
    for line in solution.lines:
        reason = line.relation.replace("is true", holds).replace("is false", fails)
        because = f"{reason}, so " if reason and rng.random() < 0.85 else ""
        if style == 0:
            steps.append(f"{line.label}: {because}{line.symbol} = {line.working} = {line.result}.")
        elif style == 1:
            steps.append(f"{line.label}: {because}{line.symbol} becomes {line.result}.")
        else:
            steps.append(f"{line.label}, {because}{line.symbol} = {line.working}, now {line.symbol} is {line.result}.")
    return steps
