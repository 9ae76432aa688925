"""Report of an import: counts, located answers, and settings to check."""

import json
from pathlib import Path

import pytest

from advcluster_dagster.sources.imports import preview as preview_module
from advcluster_dagster.sources.imports.import_report import describe_import
from advcluster_dagster.sources.imports.preview import answer_place, preview_traces
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.staging import questions_file, traces_file
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.benchmarks import Benchmark
from advcluster_dagster.study.study import Study

FILE = Path("sums.yaml")


def _study(trials=2, **benchmark):
    models = {role: {"model": role, "provider": "imported"} for role in ("larger", "smaller")}
    return Study.model_validate(
        {"study": "s", "trials": trials, "families": {"f": models}, "domains": {"math": ["sums"]},
         "benchmarks": {"sums": benchmark}}
    )  # fmt: skip


@pytest.fixture
def report_lines(write, root):
    """Import responses of the larger model by (question, trial) and return the report; the gold answer of n is n."""

    def tell(respond, study=None, n_questions=4, n_trials=2, kind="numeric", recorded=None, gold=str):
        declared = study or _study()
        questions = [
            {"question_id": f"q{n}", "question": f"{n}?", "answer": gold(n), "answer_type": kind}
            for n in range(n_questions)
        ]
        traces = [
            {"question_id": f"q{n}", "model": "larger", "trial": t, "response": respond(n, t),
             **({} if recorded is None else {"recorded_correct": recorded(n, t)})}
            for n in range(n_questions)
            for t in range(n_trials)
        ]  # fmt: skip
        import_questions(write(*questions, name="q.jsonl"), declared, "math", "sums", root)
        summary = import_traces(write(*traces, name="t.jsonl"), declared, "f", "math", "sums", root)
        return describe_import([summary], declared, root, FILE).lines

    return tell


def test_what_was_found_is_counted_with_examples(report_lines):
    # Of 8 responses trial 1 of questions 2 and 3 is wrong, and the log took the latter for right.
    lines = report_lines(
        lambda n, t: f"So \\boxed{{{n if t == 0 or n < 2 else 99}}}", recorded=lambda n, t: t == 0 or n < 2 or n == 3
    )
    assert lines == [
        "Read 8 traces of sums from t.jsonl (JSON Lines or a JSON array).",
        "Larger larger: 8 traces, 4 questions, trials per question: 2; answers located in 8 of 8 sampled responses, "
        "such as '0', '1', '2', '99', '3'; right 6 of 8 (75.0%); recorded verdicts contradicted: 1 of 8.",
        "Traces of sums in family f so far: larger larger 8, smaller smaller none yet.",
    ]


PLACES = {
    "A:": lambda n, t: f"{n} it is, I think.\nA: {n}",
    "Answer:": lambda n, t: f"Option A: or so.\n**Answer:** {n}",
    "####": lambda n, t: f"Adding up.\n#### {n}",
    "The answer is": lambda n, t: f"Adding up. The answer is {n}.",
    "Result =>:": lambda n, t: f"Adding up.\nResult =>: {n}",
    'field "answer"': lambda n, t: json.dumps({"reasoning": "so", "answer": str(n)}),
    'field "final_answer"': lambda n, t: f"```json\n{json.dumps({'final_answer': n})}\n```",
    'field "verdict"': lambda n, t: json.dumps({"why": "so", "verdict": n}),
    "whole": lambda n, t: str(n),
}


@pytest.mark.parametrize("name", PLACES)
def test_another_place_of_the_answers_is_proposed(name, report_lines):
    lines = report_lines(PLACES[name], n_questions=8)
    if name == "whole":
        setting = "whole_response: true"
    elif name.startswith("field"):
        setting = f"answer_field: {name.removeprefix('field ')}"
    else:
        setting = f'answer_marker: "{name}"'
    assert (
        "Note: 16 of 16 responses of the larger model larger have no answer in \\boxed{} or [ANSWER] marks and count "
        f"as wrong (no_answer); in sums.yaml, benchmarks, sums: set {setting} (it locates 16 of 16)."
    ) in lines


def test_an_untouched_template_over_answers_behind_a_marker(report_lines):
    lines = report_lines(lambda n, t: f"Way {t}.\nA: {n}", _study(trials=10), n_questions=16, n_trials=10)
    assert any("160 of 160 responses" in line and 'set answer_marker: "A:"' in line for line in lines)


def test_a_wrong_setting_is_named_too(report_lines):
    lines = report_lines(PLACES["A:"], _study(answer_marker="Solution:"))
    assert any("have no answer after 'Solution:'" in line and 'set answer_marker: "A:"' in line for line in lines)
    lines = report_lines(lambda n, t: f"\\boxed{{{n}}}", _study(answer_marker="A:"))
    assert any(
        "set none of answer_marker, answer_field, whole_response: answers are in \\boxed{}" in line for line in lines
    )


def test_without_a_fitting_place_the_settings_are_named(report_lines):
    lines = report_lines(lambda n, t: f"It might be {n}\nor another number, who knows." + "\n" * t)
    assert any(
        "in sums.yaml, benchmarks, sums: set answer_marker, answer_field or whole_response." in line for line in lines
    )
    lines = report_lines(lambda n, t: "A: 1" if n < 3 else "no idea\nnone")  # three of four
    assert any('try answer_marker: "A:" (it locates 6 of 8)' in line for line in lines)


def test_few_missing_answers_call_for_nothing(report_lines):
    assert not any("Note" in line for line in report_lines(lambda n, t: "none" if n == 0 else f"\\boxed{{{n}}}"))


def test_contradicted_verdicts_point_to_the_answer_type(report_lines):
    lines = report_lines(lambda n, t: f"\\boxed{{{n}}}", recorded=lambda n, t: False)
    assert any("8 of 8 recorded verdicts on the larger model larger are contradicted" in line for line in lines)


def test_missing_trials_are_named_with_the_setting(report_lines):
    lines = report_lines(lambda n, t: f"\\boxed{{{n}}}", _study(trials=10))
    assert (
        "Note: the study sets trials: 10, but 4 of 4 questions of the larger model larger have fewer, at least 2; "
        "incomplete questions are not kept; if there are no more, set trials: 2 in sums.yaml."
    ) in lines


def test_trials_that_count_from_one_are_named(write, root):
    study = _study(trials=3)
    question = {"question_id": "q", "question": "?", "answer": "1", "answer_type": "numeric"}
    import_questions(write(question), study, "math", "sums", root)
    traces = [{"question_id": "q", "model": "smaller", "trial": t, "response": "\\boxed{1}"} for t in (1, 2)]
    summary = import_traces(write(*traces), study, "f", "math", "sums", root)
    lines = describe_import([summary], study, root, FILE).lines
    assert any("(the first trial is number 1; trials count from 0)" in line for line in lines)


def test_missing_responses_are_told_apart(report_lines):
    lines = report_lines(lambda n, t: None if t else f"\\boxed{{{n}}}")
    assert "answers located in 4 of 4 sampled responses (4 more are missing or too long)" in lines[1]
    assert "no responses to check" in report_lines(lambda n, t: None)[1]


def test_what_needs_worker_processes_is_left_to_the_run(report_lines):
    lines = report_lines(
        lambda n, t: f"\\boxed{{\\frac{{{n}}}{{{t + 1}}}}}", kind="math", gold=lambda n: f"\\sqrt{{{n}}}"
    )
    assert "can only be graded during the run" in lines[1]


def test_only_a_sample_is_looked_at(report_lines, monkeypatch, root):
    monkeypatch.setattr(preview_module, "MOST_RESPONSES", 20)
    lines = report_lines(lambda n, t: f"\\boxed{{{n}}}", n_questions=50)
    assert "answers located in 20 of 20 sampled responses" in lines[1]
    assert lines[1].startswith("Larger larger: 100 traces, 50 questions")
    study = _study()
    import polars as pl

    questions = pl.read_parquet(questions_file(root, "s", "math", "sums"))
    path = traces_file(root, "s", "f", "math", "sums", "larger")
    place = answer_place(Benchmark())
    assert preview_traces(path, questions, "larger", place) == preview_traces(path, questions, "larger", place)
    assert study.trials == 2


def test_questions_are_described_and_unreadable_golds_named(write, root):
    study = _study()
    rows = [
        {"question_id": f"q{n}", "question": "?", "answer": answer, "answer_type": "numeric"}
        for n, answer in enumerate(("5", "some 18", "1/2", "six or so"))
    ]
    summary = import_questions(write(*rows), study, "math", "sums", root)
    assert describe_import([summary], study, root, FILE).lines == [
        "Read 4 questions of sums from file.jsonl (JSON Lines or a JSON array): answers compared as numeric, such "
        "as '5', 'some 18', '1/2'.",
        "Note: 2 gold answers do not parse as their answer_type, such as 'some 18' of question 'q1' as numeric; "
        "trials of such questions cannot be graded.",
    ]


def test_traces_left_without_their_questions_are_named(write, root):
    study = _study()
    question = {"question_id": "q", "question": "?", "answer": "1", "answer_type": "numeric"}
    import_questions(write(question), study, "math", "sums", root)
    import_traces(
        write({"question_id": "q", "model": "larger", "trial": 0, "response": "1"}), study, "f", "math", "sums", root
    )
    summary = import_questions(write(question | {"question_id": "p"}), study, "math", "sums", root)
    lines = describe_import([summary], study, root, FILE).lines
    assert lines[1].startswith("Note: 1 earlier imported traces of the larger model of family f belong to questions")
