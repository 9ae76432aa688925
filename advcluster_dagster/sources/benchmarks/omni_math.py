"""Omni-MATH: olympiad mathematics, restricted to hard problems with short answers (paper section 4.1)."""

from advcluster_dagster.sources.benchmarks.asking import MATH_ANSWER, ask
from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, Item, Row

_MIN_DIFFICULTY, _MAX_ANSWER_CHARACTERS = 7, 20


def _read(row: Row, _domain: str) -> Item | None:
    if row.number_in("difficulty") < _MIN_DIFFICULTY:
        return None
    problem, answer = row.text("problem"), row.text("answer")
    if len(answer) > _MAX_ANSWER_CHARACTERS:
        return None
    return Item(str(row.number), problem, ask(problem, MATH_ANSWER), answer, "math")


OMNI_MATH = BenchmarkDefinition(
    name="omni-math",
    dataset="KbsdJames/Omni-MATH",
    revision="40ba231d8f16e29ecd40e6407e2c8640145a8f62",
    files=("test.jsonl", "data/test-00000-of-00001.parquet"),
    size=482,
    rows=f"difficulty at least {_MIN_DIFFICULTY}, answer of at most {_MAX_ANSWER_CHARACTERS} characters; ids count the"
    " rows of the file from 0",
    answers="`math`: symbolic comparison",
    read=_read,
    example={
        "domain": ["Mathematics -> Algebra"],
        "difficulty": 7.5,
        "problem": "Find the least positive integer $n$ for which $n^2 + n$ is divisible by $56$.",
        "solution": "One of $n$, $n + 1$ is divisible by 7 and one by 8; $n = 7$ serves.",
        "answer": "7",
        "source": "made_up",
    },
)
