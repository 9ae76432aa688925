"""HMMT November 2025: competition mathematics, final answers as LaTeX (paper section 4.1)."""

from advcluster_dagster.sources.benchmarks.asking import MATH_ANSWER, ask
from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, Item, Row


def _read(row: Row, _domain: str) -> Item:
    problem = row.text("problem")
    return Item(row.text("problem_idx"), problem, ask(problem, MATH_ANSWER), row.text("answer"), "math")


HMMT_NOV_2025 = BenchmarkDefinition(
    name="hmmt-nov-2025",
    dataset="MathArena/hmmt_nov_2025",
    revision="118dbfb45c4c9467c672268ed55166642897aa46",
    files=("data/train-00000-of-00001.parquet",),
    size=30,
    rows="all",
    answers="`math`: symbolic comparison",
    read=_read,
    example={
        "problem_idx": 7,
        "problem": "Compute the number of positive divisors of $2^3 \\cdot 5^2$.",
        "answer": "12",
        "problem_type": ["Number Theory"],
    },
)
