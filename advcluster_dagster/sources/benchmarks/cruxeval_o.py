"""CRUXEval-O: predict what a short Python function returns (paper section 4.1)."""

from advcluster_dagster.sources.benchmarks.asking import ask
from advcluster_dagster.sources.benchmarks.cruxeval_i import CRUXEVAL_I, program_of, source_key
from advcluster_dagster.sources.benchmarks.definition import BenchmarkDefinition, Item, Row

_REQUEST = (
    "What does this call return? Reason step by step, then write the returned value as a Python literal, and nothing"
    " else, between [ANSWER] and [/ANSWER]."
)


def _read(row: Row, _domain: str) -> Item:
    program = program_of(row)
    code, call = program["code"], f"f({program['input']})"
    question = f"A Python function:\n\n```python\n{code}\n```\n\nA call of it:\n\n```python\n{call}\n```"
    return Item(
        row.text("id"), question, ask(question, _REQUEST), program["output"], "python_output", program, source_key(row)
    )


CRUXEVAL_O = BenchmarkDefinition(
    name="cruxeval-o",
    dataset=CRUXEVAL_I.dataset,
    revision=CRUXEVAL_I.revision,
    files=CRUXEVAL_I.files,
    size=800,
    rows="all",
    answers="`python_output`: equal as Python literals",
    read=_read,
    example=CRUXEVAL_I.example,
)
