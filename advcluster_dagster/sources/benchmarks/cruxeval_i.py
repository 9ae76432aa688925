"""CRUXEval-I: find arguments for which a short Python function returns a given value (paper section 4.1)."""

from advcluster_dagster.sources.benchmarks.asking import ask
from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, Item, Row

_REQUEST = (
    "Find arguments for which the function returns this value; any that do are right. Reason step by step, then write"
    " the call of f with your arguments, and nothing else, between [ANSWER] and [/ANSWER]."
)


def program_of(row: Row) -> dict[str, str]:
    """Code, input and output of a row; the input is blank for a call without arguments."""
    if row.values.get("input") is None:
        raise BadRowError("no input")
    return {"code": row.text("code"), "input": row.optional("input") or "", "output": row.text("output")}


def source_key(row: Row) -> str:
    """Id of the program, shared by CRUXEval-I and CRUXEval-O."""
    return f"cruxeval-{row.text('id')}"


def _read(row: Row, _domain: str) -> Item:
    program = program_of(row)
    code, output = program["code"], program["output"]
    question = f"A Python function:\n\n```python\n{code}\n```\n\nA value it returned:\n\n```python\n{output}\n```"
    answer = f"f({program['input']})"
    return Item(row.text("id"), question, ask(question, _REQUEST), answer, "python_input", program, source_key(row))


CRUXEVAL_I = BenchmarkDefinition(
    name="cruxeval-i",
    dataset="cruxeval-org/cruxeval",
    revision="b96af0450242eb4da433032b90998f25588a5d0f",
    files=("test.jsonl",),
    size=800,
    rows="all",
    answers="`python_input`: correct if the function returns the given value for it",
    read=_read,
    example={
        "code": "def f(words, mark):\n    return mark.join(sorted(words))",
        "input": "['b', 'a'], '-'",
        "output": "'a-b'",
        "id": "sample_0",
    },
)
