"""OlympiadBench: English physics competition problems without figures, numerical answers (paper section 4.1)."""

from advcluster_dagster.sources.benchmarks.asking import MATH_ANSWER, ask, number_answer
from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, Item, Row


def _read(row: Row, _domain: str) -> Item | None:
    if row.text("answer_type") != "Numerical":
        return None
    problem = "\n\n".join(filter(None, (row.optional("context"), row.text("question"))))
    unit = row.optional("unit")
    # Several values in one answer are not a number; the symbolic comparison treats them as a whole.
    is_list = row.optional("is_multiple_answer") in ("True", "true")
    request = MATH_ANSWER if is_list else number_answer("a number", unit)
    tolerance = {"tolerance": _error(row), "tolerance_kind": "absolute"} if row.optional("error") else {}
    context = {**tolerance, **({"unit": unit} if unit else {})}
    answer_type = "math" if is_list else "numeric"
    return Item(row.text("id"), problem, ask(problem, request), _answer(row), answer_type, context or None)


def _answer(row: Row) -> str:
    """The first element of final_answer."""
    values = row.values.get("final_answer")
    if not isinstance(values, list) or not values:
        raise BadRowError("no final_answer")
    return Row({"final_answer": values[0]}, row.number).text("final_answer")


def _error(row: Row) -> float:
    """The allowed error; the first if there is one per value."""
    first = row.text("error").split(",")[0]
    if (error := Row({"error": first}, row.number).number_in("error")) < 0:
        raise BadRowError(f"error {first!r} is negative")
    return error


OLYMPIADBENCH = BenchmarkDefinition(
    name="olympiadbench",
    dataset="Hothan/OlympiadBench",
    revision="91184b52131e7fc9455fef848035173aea8cc01a",
    files=("OlympiadBench/OE_TO_physics_en_COMP/OE_TO_physics_en_COMP.parquet",),
    size=113,
    rows='configuration OE_TO_physics_en_COMP, answer_type "Numerical" (113 of 236); the answer is the first element of'
    " final_answer",
    answers="`numeric` within the row's own error (absolute), exact without one; `math` if one answer holds several"
    " values",
    read=_read,
    example={
        "id": 1007,
        "subfield": "Mechanics",
        "context": "A cart of mass $2 \\mathrm{~kg}$ rests on a smooth track.",
        "question": "A force of $6 \\mathrm{~N}$ acts on it. What is its acceleration?",
        "solution": ["$a = F / m = 3$"],
        "final_answer": ["3"],
        "is_multiple_answer": False,
        "unit": "m/s^2",
        "answer_type": "Numerical",
        "error": "1e-1",
    },
)
