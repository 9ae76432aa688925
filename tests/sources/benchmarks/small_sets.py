"""Small made-up files in the schema of each real data set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

HMMT: list[dict[str, Any]] = [
    {"problem_idx": 1, "problem": "Compute $1 + 1$.", "answer": "2", "problem_type": ["Algebra"]},
    {"problem_idx": 2, "problem": "Compute $\\sqrt{8}$.", "answer": "2\\sqrt{2}", "problem_type": ["Algebra"]},
]

OMNI_MATH: list[dict[str, Any]] = [
    {"difficulty": 7.0, "answer": "5", "problem": "Hard, short."},
    {"difficulty": 6.5, "answer": "5", "problem": "Too easy."},
    {"difficulty": 9.5, "answer": "x" * 21, "problem": "Answer too long."},
    {"difficulty": 9.5, "answer": "x" * 20, "problem": "Answer just short enough."},
]
OMNI_MATH = [{"domain": ["Mathematics"], "solution": "...", "source": "made_up", **row} for row in OMNI_MATH]

_OPTIONS = "(A) 1\n\n(B) 2\n\n(C) 3\n\n(D) 4"


def _jee(subject: str, index: int, kind: str, gold: str, question: str) -> dict[str, Any]:
    paper = "JEE Adv 2016 Paper 1"
    return {"subject": subject, "description": paper, "gold": gold, "index": index, "type": kind, "question": question}


JEEBENCH = [
    _jee("phy", 1, "MCQ", "B", f"A choice?\n\n{_OPTIONS}"),
    _jee("phy", 2, "MCQ(multiple)", "ABD", f"Several?\n\n{_OPTIONS}"),
    _jee("chem", 19, "Integer", "9", "How many bonds?"),
    _jee("math", 37, "Numeric", "0.38", "What is the value of $x$?"),
]

_OLYMPIAD = {
    "subfield": "Mechanics",
    "context": None,
    "solution": ["..."],
    "is_multiple_answer": False,
    "unit": None,
    "answer_type": "Numerical",
    "error": None,
    "question_type": "Open-ended",
    "subject": "Physics",
    "language": "English",
}
OLYMPIADBENCH: list[dict[str, Any]] = [
    {**_OLYMPIAD, "id": 10, "question": "A rod?", "final_answer": ["1.6e-19"], "unit": "C", "error": "1e-20"},
    {**_OLYMPIAD, "id": 11, "question": "Why?", "final_answer": ["$a b$"], "answer_type": "Expression"},
    {**_OLYMPIAD, "id": 12, "context": "On a slope.", "question": "How fast?", "final_answer": ["3", "4"]},
    {
        **_OLYMPIAD,
        "id": 13,
        "question": "Both roots?",
        "final_answer": ["1,2"],
        "is_multiple_answer": True,
        "error": "1e-1,5e-1",
    },
]

_CLOSING = "Please write your final answer in the form of \\boxed{A}, \\boxed{B}, \\boxed{C}, or \\boxed{D}"
GPQA: list[dict[str, Any]] = [
    {"solution": "\\boxed{D}", "problem": f"A gene?\n\n(A) a\n(B) b\n(C) c\n(D) d\n\n{_CLOSING}", "domain": "Biology"},
    {
        "solution": "\\boxed{B}",
        "problem": f"See (A) to (D) below.\nWhich?\n\n(A) 10^-8 eV\n(B) two\nlines\n(C) c\n(D) d\n\n{_CLOSING}",
        "domain": "Physics",
    },
    {
        "solution": "\\boxed{A}",
        "problem": f"A salt?\n\n(A) a\n(B) b\n(C) c\n(D) d\n\n{_CLOSING}",
        "domain": "Chemistry",
    },
]
GPQA_AUTHORS: list[dict[str, Any]] = [
    {
        "Record ID": f"rec{number}",
        "Question": f"Question {number}?",
        "Correct Answer": "right\n",
        "Incorrect Answer 1": "wrong 1",
        "Incorrect Answer 2": "wrong 2",
        "Incorrect Answer 3": "wrong 3",
        "High-level domain": "Physics",
        "Subdomain": "Mechanics",
    }
    for number in range(40)
]

CRUXEVAL: list[dict[str, Any]] = [
    {"code": "def f(x):\n    return x + 1", "input": "41", "output": "42", "id": "sample_0"},
    {"code": "def f():\n    return []", "input": "", "output": "[]", "id": "sample_1"},
]

#: Rows, file type and domain of each registered benchmark.
SMALL_SETS: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "hmmt-nov-2025": (HMMT, ".parquet", "math"),
    "omni-math": (OMNI_MATH, ".jsonl", "math"),
    "jeebench": (JEEBENCH, ".json", "physics"),
    "olympiadbench": (OLYMPIADBENCH, ".parquet", "physics"),
    "gpqa-diamond": (GPQA, ".parquet", "physics"),
    "cruxeval-i": (CRUXEVAL, ".jsonl", "programming"),
    "cruxeval-o": (CRUXEVAL, ".jsonl", "programming"),
}


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Write a file of rows in the format of its suffix; strings among JSON Lines are written verbatim."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    elif path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
