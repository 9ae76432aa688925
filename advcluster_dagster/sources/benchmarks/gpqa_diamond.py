r"""GPQA diamond: graduate multiple-choice questions in physics and chemistry (paper section 4.1).

Two schemas are supported. The public multiple-choice copy (problem with lettered options, solution
``\boxed{LETTER}``, domain) keeps its order of options. The authors' gated set (Question, Correct Answer, Incorrect
Answer 1 to 3, High-level domain, Record ID) lists the right option first, so its options are shuffled by a hash of the
question's text and the option.
"""

import hashlib
import re

from advcluster_dagster.sources.benchmarks.asking import ONE_OPTION, ask, format_options, split_options
from advcluster_dagster.sources.benchmarks.definition import BadRowError, BenchmarkDefinition, Item, Row

_CLOSING = re.compile(r"\s*Please write your final answer in the form of.*\Z", re.DOTALL)
_LETTER = re.compile(r"\\boxed\{\s*\(?([A-D])\)?\s*\}")


def _read(row: Row, domain: str) -> Item | None:
    is_authors = "Correct Answer" in row.values
    if row.text("High-level domain" if is_authors else "domain").lower() != domain:
        return None
    source_id, stem, options, answer = _from_authors(row) if is_authors else _from_copy(row)
    question = f"{stem}\n\n{format_options(options)}"
    return Item(source_id, question, ask(question, ONE_OPTION), answer, "choice", {"options": options})


def _from_copy(row: Row) -> tuple[str, str, dict[str, str], str]:
    stem, options = split_options(_CLOSING.sub("", row.text("problem")))
    if not options:
        raise BadRowError("problem has no options (A) to (D)")
    if (letter := _LETTER.search(row.text("solution"))) is None:
        raise BadRowError("solution names no option in \\boxed{}")
    return str(row.number), stem, options, letter[1]


def _from_authors(row: Row) -> tuple[str, str, dict[str, str], str]:
    stem, correct = row.text("Question"), row.text("Correct Answer")
    texts = [correct, *(row.text(f"Incorrect Answer {number}") for number in (1, 2, 3))]
    texts.sort(key=lambda text: hashlib.sha256(f"{stem}\n{text}".encode()).digest())
    options = dict(zip("ABCD", texts, strict=True))
    return row.text("Record ID"), stem, options, "ABCD"[texts.index(correct)]


GPQA_DIAMOND = BenchmarkDefinition(
    name="gpqa-diamond",
    dataset="hendrydong/gpqa_diamond_mc",
    revision="284143babc24a94fbac45d143333b2307e64ff80",
    files=("data/test-00000-of-00001.parquet",),
    size={"physics": 86, "chemistry": 93},
    rows="the domain's rows, without biology; ids count the rows of the file from 0. A file of the authors' gated set"
    " is also supported (ids are its Record ID, options in an order fixed by the question's text)",
    answers="`choice`",
    read=_read,
    example={
        "solution": "\\boxed{C}",
        "problem": "Which particle has no electric charge?\n\n(A) electron\n(B) proton\n(C) neutron\n(D) positron\n\n"
        "Please write your final answer in the form of \\boxed{A}, \\boxed{B}, \\boxed{C}, or \\boxed{D}",
        "domain": "Physics",
    },
)
