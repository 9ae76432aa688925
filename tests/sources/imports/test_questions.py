import hashlib
import re

import pytest

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS
from advcluster_dagster.sources.imports import fields
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import import_provenance, read_imported_questions

QUESTION = {"question_id": "q1", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}


def _import(path, study, root, domain="math", benchmark="addition", **options):
    return import_questions(path, study, domain, benchmark, root, **options)


@pytest.fixture
def only_addition(study):
    return study.model_copy(update={"domains": {"math": ("addition",)}})


def test_defaults_are_filled_in(write, only_addition, root):
    path = write(QUESTION)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    summary = _import(path, only_addition, root)
    assert (summary.n_rows, summary.sha256, summary.file_name) == (1, sha256, "file.jsonl")
    questions = read_imported_questions(root, only_addition, "math")
    assert questions.to_dicts() == [
        {
            "question_id": "q1",
            "benchmark": "addition",
            "question": "1 + 1?",
            "prompt": "1 + 1?",
            "answer": "2",
            "answer_type": "numeric",
            "answer_context": None,
            "source": "file.jsonl",
            "source_revision": f"sha256:{sha256[:12]}",
            "source_key": "q1",
        }
    ]
    assert BENCHMARK_QUESTIONS.faults(BENCHMARK_QUESTIONS.conform(questions.lazy(), {"domain": "math"})) == []
    assert import_provenance(root, only_addition, "math") == [summary.as_dict()]


def test_given_columns_are_kept(write, only_addition, root):
    given = {
        "prompt": "Add 1 and 1.",
        "answer_context": {"unit": "m", "tolerance": 0.10},
        "source": "sums-2024",
        "source_revision": "v1",
        "source_key": "passage-7",
        "benchmark": "addition",
        "domain": "math",
    }
    _import(write(QUESTION | given), only_addition, root)
    row = read_imported_questions(root, only_addition, "math").row(0, named=True)
    assert row["answer_context"] == '{"unit": "m", "tolerance": 0.1}'
    assert {name: row[name] for name in ("prompt", "source", "source_revision", "source_key")} == {
        "prompt": "Add 1 and 1.",
        "source": "sums-2024",
        "source_revision": "v1",
        "source_key": "passage-7",
    }


@pytest.mark.parametrize("spelling", ["1.50", "2", "-0.0", "1e3", '"1.50"'])
def test_a_number_as_answer_keeps_its_spelling(write, only_addition, root, spelling):
    line = f'{{"question_id": "q", "question": "?", "answer_type": "numeric", "answer": {spelling}}}'
    _import(write(line), only_addition, root)
    assert read_imported_questions(root, only_addition, "math")["answer"].to_list() == [spelling.strip('"')]


def test_mark_windows_line_ends_and_blank_lines_are_tolerated(write, only_addition, root):
    line = '{"question_id": "q1", "question": "\u00e9?", "answer": "2", "answer_type": "text"}'
    summary = _import(write(b"\xef\xbb\xbf" + line.encode() + b"\r", "  ", ""), only_addition, root)
    assert summary.n_rows == 1


def test_a_new_import_replaces_the_benchmark_and_no_other(write, study, root):
    _import(write(QUESTION), study, root)
    _import(write(QUESTION | {"question_id": "s1"}), study, root, benchmark="subtraction")
    _import(write(QUESTION | {"question_id": "q2"}, QUESTION | {"question_id": "q3"}), study, root)
    questions = read_imported_questions(root, study, "math")
    assert questions["question_id"].to_list() == ["q2", "q3", "s1"]


def test_progress_ends_with_the_whole_file(write, study, root):
    seen = []
    path = write(QUESTION)
    _import(path, study, root, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_reading_questions_never_imported_says_so(write, study, root):
    _import(write(QUESTION), study, root)
    with pytest.raises(ImportFileError, match="benchmark subtraction of domain math has no imported questions yet"):
        read_imported_questions(root, study, "math")
    assert read_imported_questions(root, study, "physics").height == 0  # its only benchmark is simulated


LONG = "x" * 1001
BAD_LINES = {
    "not JSON": ("{", "line 2: not JSON: "),
    "not an object": ("[1]", "line 2: not a JSON object"),
    "NaN": ('{"answer": NaN}', "line 2: invalid JSON: NaN is not a JSON number"),
    "field twice": ('{"answer": 1, "answer": 2}', "line 2: invalid JSON: a field occurs twice"),
    "nested too deeply": ("[" * 100_000, "line 2: invalid JSON: nested too deeply"),
    "number too long": ('{"answer": ' + "9" * 5000 + "}", "line 2: invalid JSON: Exceeds the limit"),
    "not UTF-8": (b'{"question": "\xff"}', "line 2: byte 15 is not UTF-8"),
    "UTF-16": ("{}".encode("utf-16"), "line 2: byte 1 is not UTF-8"),
    "missing field": (
        {"question_id": "q2", "question": "?", "answer_type": "text"},
        "line 2, field 'answer': is missing",
    ),
    "null field": (
        QUESTION | {"question": None},
        "line 2, field 'question': is null; allowed: text of at most 16 MiB, not",
    ),
    "unknown field": (
        QUESTION | {"anwser": 1},
        "line 2, field 'anwser': unknown; allowed: question_id, question, answer",
    ),
    "wrong type": (QUESTION | {"question": 5}, "line 2, field 'question': 5; allowed: text"),
    "flag as answer": (
        QUESTION | {"answer": True},
        "line 2, field 'answer': True; allowed: text that is not blank, or a",
    ),
    "blank answer": (QUESTION | {"answer": "  "}, "line 2, field 'answer': '  '; allowed: text that is not blank"),
    "answer type": (
        QUESTION | {"answer_type": "number"},
        "line 2, field 'answer_type': 'number'; allowed: numeric, choice",
    ),
    "answer type of a wrong type": (
        QUESTION | {"answer_type": ["text"]},
        r"line 2, field 'answer_type': ['text']; allowed",
    ),
    "context": (
        QUESTION | {"answer_context": "cm"},
        "line 2, field 'answer_context': 'cm'; allowed: an object, or text",
    ),
    "empty id": (
        QUESTION | {"question_id": ""},
        "line 2, field 'question_id': ''; allowed: a line of 1 to 300 printable",
    ),
    "id with a line break": (
        QUESTION | {"question_id": "a\nb"},
        r"line 2, field 'question_id': 'a\nb'; allowed: a line",
    ),
    "long id": (QUESTION | {"question_id": LONG}, "line 2, field 'question_id': 'xxx"),
    "duplicate id": (
        QUESTION,
        "line 2, field 'question_id': 'q1' already occurs in line 1; allowed: each question once",
    ),
    "NUL": (QUESTION | {"question": "a\0"}, "line 2, field 'question': contains U+0000"),
    "half a surrogate": (QUESTION | {"answer": "\ud800"}, "line 2, field 'answer': contains U+D800"),
    "surrogate in an object": (
        QUESTION | {"answer_context": {"unit": "\udfff"}},
        "line 2, field 'answer_context': contains U+DFFF",
    ),
    "surrogate in a field name": (QUESTION | {"\ud800": 1}, r"line 2, field '\ud800': unknown; allowed: question_id"),
    "other benchmark": (
        QUESTION | {"benchmark": "motion"},
        "line 2, field 'benchmark': 'motion'; allowed: 'addition', as",
    ),
    "other domain": (QUESTION | {"domain": "art"}, "line 2, field 'domain': 'art'; allowed: 'math', as imported"),
}


@pytest.mark.usefixtures("_no_collection")
@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_changes(write, study, root, content, name):
    line, message = BAD_LINES[name]
    _import(write(QUESTION | {"question_id": "before"}), study, root)
    before = content()
    path = write(QUESTION, line)
    with pytest.raises(ImportFileError, match=re.escape(message)) as error:
        _import(path, study, root)
    assert str(error.value).startswith(f"{path}, line 2")
    assert len(str(error.value).splitlines()) == 1
    assert content() == before


def test_a_pair_of_surrogates_is_one_character(write, only_addition, root):
    _import(
        write(r'{"question_id": "q", "question": "\ud83d\ude00?", "answer": "2", "answer_type": "text"}'),
        only_addition,
        root,
    )
    assert read_imported_questions(root, only_addition, "math")["question"].to_list() == ["\U0001f600?"]


def test_a_text_above_the_limit_is_refused(write, study, root, monkeypatch):
    monkeypatch.setattr(fields, "MAX_TEXT_BYTES", 8)
    _import(write(QUESTION | {"question": "12345678"}), study, root)
    with pytest.raises(ImportFileError, match=r"line 1, field 'question': '\\u20ac"):
        _import(write(QUESTION | {"question": "\u20ac\u20ac\u20ac"}), study, root)  # 3 characters, 9 bytes


@pytest.mark.parametrize("lines", [(), ("", " "), (b"\xef\xbb\xbf",)])
def test_a_file_without_questions_is_refused(write, study, root, content, lines):
    with pytest.raises(ImportFileError, match=r"the file is empty|the file contains no questions"):
        _import(write(*lines), study, root)
    assert content() == {}


def test_a_missing_file_is_refused(tmp_path, study, root):
    with pytest.raises(ImportFileError, match=r"none\.jsonl: no such file"):
        _import(tmp_path / "none.jsonl", study, root)


@pytest.mark.parametrize(
    ("domain", "benchmark", "message"),
    [
        ("art", "addition", "study sums has no domain 'art'; allowed: math, physics"),
        ("math", "motion", "domain math of study sums has no benchmark 'motion'; allowed: addition, subtraction"),
        ("physics", "motion", "questions of benchmark motion are simulated; allowed: benchmarks with source: imported"),
    ],
)
def test_a_place_outside_the_study_is_refused(write, study, root, domain, benchmark, message):
    with pytest.raises(ImportFileError, match=message):
        _import(write(QUESTION), study, root, domain, benchmark)


def test_an_id_of_another_benchmark_is_refused(write, study, root, content):
    _import(write(QUESTION), study, root)
    before = content()
    with pytest.raises(ImportFileError) as error:
        _import(write(QUESTION | {"question_id": "s"}, QUESTION), study, root, benchmark="subtraction")
    assert "line 2, field 'question_id': 'q1' of benchmark subtraction is also a question of benchmark addition" in str(
        error.value
    )
    assert content() == before
