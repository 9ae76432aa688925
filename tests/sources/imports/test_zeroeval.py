"""Convert, import and grade result files of ZeroEval (JSON arrays of JSON replies)."""

import pytest

from advcluster_dagster.sandbox.deciding import Deciders
from advcluster_dagster.science.grading.answers import AnswerPlace
from advcluster_dagster.science.grading.grade import grade_in_batches
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import read_imported_questions, scan_imported_traces
from advcluster_dagster.sources.imports.traces import import_traces
from tests.cases.zeroeval.convert import convert, write
from tests.studies import write_study

#: Reply and verdict, for a gold answer of each benchmark; every third reply is not strict JSON.
REPLIES = {
    "gsm": (
        "# 18",
        "numeric",
        [
            ('{"reasoning": "9 eggs for $2", "answer": "18"}', "correct"),
            ('{"reasoning": "9 eggs for $2", "answer": "$18"}', "correct"),
            ('```json\n{\n  "reasoning": "9\neggs",\n  "answer": 18\n}\n```', "correct"),
            ('{"reasoning": "8 eggs", "answer": "16"}', "wrong"),
            ('{"reasoning": "and so on and so on', "no_answer"),
        ],
    ),
    "crux": (
        "'abc'",
        "python_output",
        [
            ('{"reasoning": "r", "answer": "\'abc\'"}', "correct"),
            ('{"reasoning": "r", "answer": "abc"}', "correct"),
            ('{"reasoning": "the string "abc" is kept", "answer": "abc"}', "correct"),
            ('{"reasoning": "r", "answer": "[\'abc\']"}', "wrong"),
            ("It returns 'abc'.", "no_answer"),
        ],
    ),
    "math": (
        r"\frac{3}{4}",
        "math",
        [
            (r'{"reasoning": "r", "answer": "\frac{3}{4}"}', "correct"),
            (r'{"reasoning": "r", "answer": "$\\frac{3}{4}$"}', "correct"),
            (r"## Step 1\n The final answer is: $\boxed{\frac{3}{4}}$", "correct"),
            (r'{"reasoning": "r", "answer": "\frac{4}{3}"}', "wrong"),
            ('{"reasoning": "r", "answer": ""}', "no_answer"),
        ],
    ),
}


@pytest.mark.parametrize("benchmark", REPLIES)
def test_replies_that_are_json_are_graded_by_their_answer_field(tmp_path, benchmark):
    gold, answer_type, replies = REPLIES[benchmark]
    rows = [
        {"dataset": benchmark, "id": f"test-#{number}", "question": f"q{number}", "answer": gold, "output": [reply]}
        | {"generator": "meta/Large-Instruct"}
        for number, (reply, _) in enumerate(replies)
    ]
    small = write_study(
        tmp_path / "home",
        {
            "study": "z",
            "trials": 1,
            "families": {
                "f": {
                    "larger": {"model": "Large-Instruct", "provider": "imported"},
                    "smaller": {"model": "Small-Instruct", "provider": "imported"},
                }
            },
            "domains": {"d": [benchmark]},
            "benchmarks": {benchmark: {"answer_field": "answer"}},
        },
    )
    questions, traces = convert(rows, answer_type)
    write(tmp_path / "questions.jsonl", questions)
    write(tmp_path / "traces.jsonl", traces)
    study, imports = small.study, small.home.imports
    import_questions(tmp_path / "questions.jsonl", study, "d", benchmark, imports)
    import_traces(tmp_path / "traces.jsonl", study, "f", "d", benchmark, imports)
    frame = scan_imported_traces(imports, study, "f", "d", "larger")
    with Deciders() as deciders:
        graded = grade_in_batches(
            {"larger": frame},
            read_imported_questions(imports, study, "d"),
            {benchmark: AnswerPlace(field="answer")},
            deciders.decide_many,
        )
    assert graded["verdict"].to_list() == [verdict for _, verdict in replies]
