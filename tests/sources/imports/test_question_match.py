"""Logs and traces are compared with the imported questions by text, options and gold answer, not by id alone."""

import json
import re

import pytest

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.official_results import import_official_results
from advcluster_dagster.sources.imports.options import named_options, options_in_text, same_options, without_options
from advcluster_dagster.sources.imports.question_match import QuestionMatch, check_overlap
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.study import Study

IMPORTED = {"provider": "imported"}
CHOICE = "Which is even?\nA) 1\nB) 2\nC) 3"


def _row(question="What is 2+3?", answer="5", kind="numeric", context=None, prompt=None):
    return {
        "question_id": "q", "question": question, "prompt": prompt or question, "answer": answer, "answer_type": kind,
        "answer_context": json.dumps(context) if context else None,
    }  # fmt: skip


def _fault(known, carried, texts=()):
    match = QuestionMatch("sums", "do something")
    match.compare("f.jsonl, line 1", known, carried, texts)
    try:
        match.check(1)
    except ImportFileError as error:
        return str(error)
    return None


SAME = {
    "white space": (_row(), {"question": " What  is\n2 + 3?"}),
    "composed letters": (_row("Caf\u00e9?"), {"question": "Cafe\u0301?"}),
    "the prompt": (_row(prompt="Q: What is 2+3? A:"), {"question": "Q: What is 2+3? A:"}),
    "equal numbers": (_row(), {"answer": "5.0"}),
    "a number": (_row(), {"answer": 5}),
    "a gold in dressing": (_row(), {"answer": "\\boxed{5}"}),
    "a worked solution": (_row(), {"answer": "2 and 3 are 5.\n#### 5"}),
    "a boxed solution": (_row("?", "1/2", "math"), {"answer": "So it is $\\boxed{1/2}$."}),
    "a bracketed letter": (_row(CHOICE, "B", "choice"), {"answer": "(B)"}),
    "an option's text": (_row(CHOICE, "B", "choice"), {"answer": "2"}),
    "options apart": (
        _row(CHOICE, "B", "choice"),
        {"question": "Which is even?", "answer": "B", "answer_context": {"options": ["1", "2", "3"]}},
    ),
    "options with letters": (
        _row("Which is even?", "B", "choice", {"options": {"A": "1", "B": "2", "C": "3"}}),
        {"answer": "B", "answer_context": {"options": ["A) 1", "B) 2", "C) 3"]}},
    ),
    "options in the prompt, with words behind": (
        _row("Which is even?", "B", "choice", {"options": ["1", "2", "3"]}),
        {"question": "Which is even?", "prompt": f"{CHOICE}<|eot_id|>"},
    ),
    "nothing to compare": (_row(), {}),
}
DIFFERENT = {
    "another text": (_row(), {"question": "What is 2+4?"}, "its text is 'What is 2+4?', imported: 'What is 2+3?'"),
    "words behind": (_row(), {"question": "What is 2+3? In binary."}, "its text is 'What is 2+3? In binary.', imp"),
    "case": (_row("What is A?"), {"question": "What is a?"}, "its text is 'What is a?', imported: 'What is A?'"),
    "late in a long text": (
        _row("word " * 20 + "two"), {"question": "word " * 20 + "three"},
        "its text is '...ord word word word three', imported: '...ord word word word two'",
    ),
    "another gold": (_row(), {"answer": "6"}, "its gold answer is '6', imported: '5'"),
    "another gold in a solution": (_row(), {"answer": "5 and 1 are 6\n#### 6"}, "its gold answer is '5 and 1 are 6"),
    "within a tolerance": (_row(context={"tolerance": "1"}), {"answer": "5.5"}, "its gold answer is '5.5'"),
    "another letter": (_row(CHOICE, "B", "choice"), {"answer": "C"}, "its gold answer is 'C', imported: 'B'"),
    "other text gold": (_row("?", "Paris", "text"), {"answer": "paris"}, "its gold answer is 'paris', imported: 'Par"),
    "permuted options": (
        _row("Which is even?", "B", "choice", {"options": ["1", "2", "3"]}),
        {"question": "Which is even?", "answer": "B", "answer_context": {"options": ["2", "1", "3"]}},
        "its options are 'A: 2, B: 1, C: 3', imported: 'A: 1, B: 2, C: 3'",
    ),
    "permuted with the gold": (
        _row("Which is even?", "B", "choice", {"options": ["1", "2", "3"]}),
        {"answer": "A", "answer_context": {"options": ["2", "1", "3"]}}, "its options are",
    ),
    "permuted in the prompt": (
        _row("Which is even?", "B", "choice", {"options": ["1", "2", "3"]}),
        {"question": "Which is even?", "prompt": "Which is even?\n(A) 2\n(B) 1\n(C) 3\nAnswer:"}, "its options are",
    ),
    "permuted in both texts": (_row(CHOICE, "B", "choice"), {"prompt": "Which is even? A) 2 B) 1 C) 3"}, "its options"),
    "one option more": (
        _row("?", "A", "choice", {"options": ["1", "2"]}), {"answer_context": {"options": ["1", "2", "3"]}}, "its opt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_question_passes(name):
    assert _fault(*SAME[name]) is None


def test_other_texts_of_a_document_may_be_the_question():
    assert _fault(_row(), {"question": "Question: What is 2+3?\nAnswer:"}, ["What is 2+3?"]) is None


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_question_is_named_with_both_values(name):
    known, carried, message = DIFFERENT[name]
    line = _fault(known, carried)
    assert line.startswith("f.jsonl, line 1: question 'q' is not the one imported for sums: ")
    assert message in line
    assert line.endswith("1 of 1 compared questions differ; do something")


def test_the_first_difference_is_named_and_all_are_counted():
    match = QuestionMatch("sums", "do something")
    for number in range(4):
        known = _row() | {"question_id": f"q{number}"}
        match.compare(f"line {number}", known, {"answer": "5" if number < 2 else "6"})
        match.compare(f"line {number + 4}", known, {"answer": "5" if number < 2 else "6"})  # another trial
    match.add_unknown("line 9", "q9")
    with pytest.raises(
        ImportFileError, match=r"^line 2: question 'q2' .*; 2 of 5 compared questions differ, 1 more are"
    ):
        match.check(4)


def test_questions_known_to_nobody_are_counted():
    match = QuestionMatch("sums", "do something")
    match.add_unknown("line 1", "q8")
    match.add_unknown("line 2", "q9")
    with pytest.raises(
        ImportFileError, match=r"'q8' is not a question of the benchmark; allowed: the 3 imported ones; 2 of 2"
    ):
        match.check(3)


def test_models_that_were_asked_nothing_in_common_are_refused(tmp_path):
    assert check_overlap(tmp_path, [], {}, "do something") == []
    assert check_overlap(tmp_path, [], {"l": {"a"}}, "do something") == []
    assert check_overlap(tmp_path, ["a", "b"], {"l": {"a"}, "s": {"a"}}, "do something") == []
    assert check_overlap(tmp_path, [], {"l": {"a", "b"}, "s": {"a"}}, "do something") == [
        "model s lacks 1 questions that another model has, such as b"
    ]
    for earlier, asked in ((["a"], {"l": {"b"}}), ([], {"l": {"a"}, "s": {"b"}})):
        with pytest.raises(ImportFileError, match=r"none of the 1 questions of model .*; do something$"):
            check_overlap(tmp_path, earlier, asked, "do something")


OPTION_TEXTS = {
    "lines": ("Which?\nA. one\nB. two\nC. three", ["one", "two", "three"]),
    "one line": ("Which? (A) one (B) two", ["one", "two"]),
    "over lines": ("Which?\nA) one\n  more\nB) two\nAnswer:", ["one more", "two"]),
    "the last list": ("A) x\nB) y\nAnswer: A\n\nWhich?\nA) one\nB) two", ["one", "two"]),
    "letters within": ("A) one\nB) vitamin C. yes\nC) three", ["one", "vitamin C. yes", "three"]),
    "letters named at the end": ("A) one\nB) two\nAnswer with (A), (B).", ["one", "two"]),
    "one letter": ("Plan A: go. Then stop.", None),
    "none": ("Which?", None),
    "empty": ("", None),
}


@pytest.mark.parametrize("name", OPTION_TEXTS)
def test_options_are_read_from_a_text(name):
    text, expected = OPTION_TEXTS[name]
    parsed = options_in_text(text)
    assert (parsed is None) == (expected is None)
    if expected is not None:
        assert same_options(parsed, named_options(expected))
    assert text.startswith(without_options(text))


# ---- through the imports ---------------------------------------------------------------------------------------------


@pytest.fixture
def study():
    models = {"larger": {"model": "large", **IMPORTED}, "smaller": {"model": "small", **IMPORTED}}
    return Study.model_validate(
        {"study": "s", "trials": 2, "families": {"f": models}, "domains": {"math": ["sums", "other"]}}
    )


@pytest.fixture
def log(tmp_path):
    """Write a sample file of a model: (question, gold, response) per document, and further document fields."""

    def write_log(model, *documents, name="samples_sums_2026-01-01T00-00-00.0.jsonl", **doc):
        path = tmp_path / "logs" / model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        records = [
            {
                "doc_id": number, "doc": {"question": question, **doc}, "target": gold,
                "arguments": {"gen_args_0": {"arg_0": f"Q: {question}", "arg_1": {}}}, "resps": [[response]],
                "filter": "none", "exact_match": 1.0,
            }
            for number, (question, gold, response) in enumerate(documents)
        ]  # fmt: skip
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
        return path

    return write_log


def _import_log(path, study, root, answer_type="numeric"):
    return import_logs(path, find_logs(path), study, "f", "math", "sums", root, answer_type)


RIGHT = [("What is 2+3?", "5", "\\boxed{5}"), ("What is 4*4?", "16", "\\boxed{16}")]
OTHER_LOGS = {
    "another data set": ([("Name a prime.", "7", "\\boxed{7}"), ("Name a square.", "9", "\\boxed{9}")], "its text", 2),
    "changed gold": ([RIGHT[0], ("What is 4*4?", "17", "\\boxed{17}")], "its gold answer is '17', imported: '16'", 1),
    "changed wording": ([RIGHT[0], ("What is 4 times 4?", "16", "\\boxed{16}")], "its text is 'What is 4 times 4?'", 1),
}


@pytest.mark.parametrize("name", OTHER_LOGS)
@pytest.mark.parametrize("first", ["questions", "log"])
def test_a_log_about_other_questions_is_refused(name, first, log, write, study, root, content):
    documents, message, n_differing = OTHER_LOGS[name]
    if first == "questions":
        rows = [
            {"question_id": f"sums-{number}", "question": text, "answer": gold, "answer_type": "numeric"}
            for number, (text, gold, _) in enumerate(RIGHT)
        ]
        import_questions(write(*rows), study, "math", "sums", root)
    _import_log(log("large", *RIGHT), study, root)
    before = content()
    path = log("small", *documents)
    with pytest.raises(ImportFileError) as error:
        _import_log(path, study, root)
    line = str(error.value)
    assert line.startswith(f"{path}, line {3 - n_differing}: question 'sums-")
    assert message in line
    assert f"; {n_differing} of 2 compared questions differ; import the log under another benchmark name, or " in line
    assert content() == before
    _import_log(log("small", ("What is  2+3?", "5.0", "five"), RIGHT[1]), study, root)


@pytest.mark.parametrize("name", OTHER_LOGS)
def test_logs_of_one_folder_are_compared_with_each_other(name, log, study, root, content, tmp_path):
    log("large", *RIGHT)
    log("small", *OTHER_LOGS[name][0])
    with pytest.raises(ImportFileError, match="is not the one imported for sums"):
        _import_log(tmp_path / "logs", study, root)
    assert content() == {}


@pytest.mark.parametrize("is_listed", [True, False])
def test_permuted_options_of_a_log_are_refused(is_listed, log, study, root, tmp_path):
    texts = [
        "Which is even?" + "".join(f"\n{mark}) {text}" for mark, text in zip("AB", order, strict=True))
        for order in ("12", "21")
    ]
    questions = ["Which is even?"] * 2 if is_listed else texts
    _import_log(log("large", (questions[0], "B", "\\boxed{B}"), choices=["1", "2"]), study, root, "choice")
    path = log("small", (questions[1], "B", "\\boxed{B}"), choices=["2", "1"])
    with pytest.raises(ImportFileError, match="its options are 'A: 2, B: 1', imported: 'A: 1, B: 2'"):
        _import_log(path, study, root, "choice")


def test_a_log_with_other_ids_throughout_is_refused(log, study, root, content):
    _import_log(log("large", *RIGHT), study, root)
    path = log("small", *RIGHT)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(record | {"doc_id": record["doc_id"] + 10}) + "\n" for record in records))
    before = content()
    with pytest.raises(
        ImportFileError, match=r"none of the 2 questions of model small \('sums-10', ...\) is among the 2 of"
    ):
        _import_log(path, study, root)
    assert content() == before


TRACES = {
    "text": ({"question": "What is 9+9?"}, "its text is 'What is 9+9?', imported: 'What is 2+3?'"),
    "gold": ({"gold": 6}, "its gold answer is '6', imported: '5'"),
    "options": ({"options": ["x", "y"]}, "its options are 'A: x, B: y', imported: 'A: 5, B: 6'"),
}


@pytest.mark.parametrize("name", TRACES)
def test_traces_that_repeat_their_question_are_compared(name, write, study, root, content):
    changed, message = TRACES[name]
    question = {
        "question_id": "q", "question": "What is 2+3?", "answer": "5", "answer_type": "numeric",
        "answer_context": {"options": ["5", "6"]},
    }  # fmt: skip
    import_questions(write(question), study, "math", "sums", root)
    before = content()
    same = {"question": "What is 2 + 3?", "gold": "5", "options": {"A": "5", "B": "6"}}
    trace = {"question_id": "q", "model": "large", "trial": 0, "response": "5", **same}
    path = write(trace, trace | {"model": "small"} | changed)
    with pytest.raises(ImportFileError) as error:
        import_traces(path, study, "f", "math", "sums", root)
    assert f"{path}, line 2: question 'q' is not the one imported for sums: {message}" in str(error.value)
    assert "import the traces under another benchmark name" in str(error.value)
    assert content() == before
    assert import_traces(write(trace), study, "f", "math", "sums", root).n_rows == 1


def _results(tmp_path, *records, model="large"):
    path = tmp_path / "results" / "math" / "sums" / model / "10_runs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"runs": [{"run_id": 0, "records": list(records)}]}))
    return tmp_path / "results"


def _record(question, gold):
    return {"question": question, "full_response": f"\\boxed{{{gold}}}", "gold": gold, "correct": True}


def test_result_files_are_compared_with_questions_imported_otherwise(write, study, root, tmp_path, content):
    rows = [
        {"question_id": f"own-{number}", "question": text, "answer": gold, "answer_type": "numeric"}
        for number, (text, gold, _) in enumerate(RIGHT)
    ]
    import_questions(write(*rows), study, "math", "sums", root)
    before = content()
    for record, message in (
        (_record("What is 2+3?", "6"), "its gold answer is '6', imported: '5'"),
        (
            _record("Name a prime.", "7"),
            "'Name a prime.' is not a question of the benchmark; allowed: the 2 imported ones",
        ),
    ):
        with pytest.raises(ImportFileError, match=re.escape(message)):
            import_official_results(_results(tmp_path, record), study, "f", root, None)
        assert content() == before
    (summary,) = import_official_results(_results(tmp_path, _record("What is 2 + 3?", "5.0")), study, "f", root, None)
    assert (summary.kind, summary.n_rows) == ("traces", 1)


def test_results_of_another_data_set_are_refused(study, root, tmp_path):
    import_official_results(_results(tmp_path, _record("What is 2+3?", "5")), study, "f", root, "numeric")
    other = _results(tmp_path, _record("Name a prime.", "7"))
    with pytest.raises(ImportFileError, match="none of the 1 questions of model large"):
        import_official_results(other, study, "f", root, "numeric")


def test_an_answer_type_given_later_must_be_that_of_the_questions(log, write, study, root, tmp_path, content):
    _import_log(log("large", *RIGHT), study, root, "numeric")
    before = content()
    message = (
        r"--answer-type text, but 2 of the 2 questions imported for sums are compared as numeric; omit --answer-type"
    )
    with pytest.raises(ImportFileError, match=message):
        _import_log(log("small", *RIGHT), study, root, "text")
    with pytest.raises(ImportFileError, match=message):
        import_official_results(_results(tmp_path, _record("What is 2+3?", "5")), study, "f", root, "text")
    trace = {"question_id": "sums-0", "model": "small", "trial": 0, "response": "5"}
    with pytest.raises(ImportFileError, match=message):
        import_traces(write(trace), study, "f", "math", "sums", root, answer_type="text")
    assert content() == before
    _import_log(log("small", *RIGHT), study, root, "numeric")
    _import_log(log("small", *RIGHT), study, root, None)
    assert import_traces(write(trace), study, "f", "math", "sums", root, answer_type="numeric").n_rows == 1
