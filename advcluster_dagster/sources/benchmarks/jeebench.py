"""JEEBench: entrance examination problems of four kinds in three subjects (paper section 4.1).

Unlike the data set's own scoring, an incomplete set of right options earns nothing instead of a quarter each.
"""

import re
from typing import Any

from advcluster_dagster.sources.benchmarks.asking import ONE_OPTION, SEVERAL_OPTIONS, ask, number_answer, split_options
from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, Item, Row

_SUBJECTS = {"math": "math", "physics": "phy", "chemistry": "chem"}
_KINDS = {
    "MCQ": ("choice", ONE_OPTION),
    "MCQ(multiple)": ("choices", SEVERAL_OPTIONS),
    "Integer": ("numeric", number_answer("a whole number that is not negative")),
    "Numeric": ("numeric", number_answer("a number, to be right to two decimal places")),
}


def _read(row: Row, domain: str) -> Item | None:
    if row.text("subject") != _SUBJECTS[domain]:
        return None
    kind, problem = row.text("type"), row.text("question")
    if kind not in _KINDS:
        raise BadRowError(f"type {kind!r} is not one of {', '.join(_KINDS)}")
    answer_type, request = _KINDS[kind]
    context: dict[str, Any] | None = {"tolerance": 0.01, "tolerance_kind": "absolute"}
    if answer_type != "numeric":
        options = split_options(problem)[1]
        context = {"options": options} if options else None
    paper = re.sub(r"\W+", "-", row.text("description").lower()).removeprefix("jee-adv-").strip("-")
    source_id = f"{paper}-{row.text('subject')}-{row.text('index')}"
    return Item(source_id, problem, ask(problem, request), row.text("gold"), answer_type, context)


JEEBENCH = BenchmarkDefinition(
    name="jeebench",
    dataset="daman1209arora/jeebench",
    revision="d070d1113ce365df05903763a2017ec2d0d56118",
    files=("test.json",),
    size={"math": 236, "physics": 123, "chemistry": 156},
    rows="subject " + ", ".join(f"{subject} in domain {domain}" for domain, subject in _SUBJECTS.items()),
    answers="MCQ `choice`; MCQ(multiple) `choices`, equal as sets; Integer and Numeric `numeric`, off by at most 0.01",
    read=_read,
    example={
        "subject": "math",
        "description": "JEE Adv 2016 Paper 1",
        "gold": "AD",
        "index": 41,
        "type": "MCQ(multiple)",
        "question": "Which of these numbers are prime?\n\n(A) 2\n\n(B) 9\n\n(C) 15\n\n(D) 23",
    },
)
