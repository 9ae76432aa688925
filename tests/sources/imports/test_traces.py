import fcntl
import re
import tracemalloc

import polars as pl
import pytest

from advcluster_dagster.contracts.inference import LARGER_TRACES
from advcluster_dagster.sources.imports import json_lines, staging
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import has_imported_traces, import_provenance, scan_imported_traces
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.study import Study

TRACE = {"question_id": "q1", "model": "small", "trial": 0, "response": "2"}


def _import(path, study, root, family="f", domain="math", benchmark="addition", **options):
    return import_traces(path, study, family, domain, benchmark, root, **options)


@pytest.fixture
def ready(write, study, root):
    """The root with two questions imported."""
    question = {"question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
    path = write({"question_id": "q1", **question}, {"question_id": "q2", **question}, name="questions.jsonl")
    import_questions(path, study, "math", "addition", root)
    return root


def _rows(root, study, role):
    return scan_imported_traces(root, study, "f", "math", role).collect()


def test_the_model_decides_the_role_and_defaults_are_filled_in(write, study, ready):
    summary = _import(
        write(TRACE, TRACE | {"model": "large"}, TRACE | {"model": "org/large", "trial": 1}), study, ready
    )
    assert (summary.n_rows, summary.n_rows_by_role) == (3, {"larger": 2, "smaller": 1})
    larger = _rows(ready, study, "larger")
    assert larger.to_dicts()[0] == {
        "question_id": "q1",
        "benchmark": "addition",
        "trial": 0,
        "model": "org/large",
        "response": "2",
        "finish_reason": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "engine": "imported",
        "sampling": None,
        "recorded_correct": None,
    }
    assert larger["trial"].to_list() == [0, 1]
    assert LARGER_TRACES.faults(LARGER_TRACES.conform(larger.lazy(), {"family": "f", "domain": "math"})) == []
    assert import_provenance(ready, study, "math", "f", "smaller") == [summary.as_dict()]


def test_given_columns_are_kept(write, study, ready):
    given = {
        "response": None,
        "finish_reason": "length",
        "prompt_tokens": 5,
        "completion_tokens": 0,
        "engine": "vllm",
        "sampling": {"temperature": 0.6, "top_p": 1},
        "recorded_correct": False,
    }
    same = {"benchmark": "addition", "domain": "math", "family": "f"}
    _import(write(TRACE | given | same, TRACE | {"trial": 1, "sampling": "greedy"}), study, ready)
    first, second = _rows(ready, study, "smaller").to_dicts()
    assert {name: first[name] for name in given} == given | {"sampling": '{"temperature": 0.6, "top_p": 1}'}
    assert second["sampling"] == '"greedy"'


def test_only_the_roles_in_the_file_are_replaced(write, study, ready):
    _import(write(TRACE, TRACE | {"model": "large", "response": "old"}), study, ready)
    _import(write(TRACE | {"response": "new"}, TRACE | {"question_id": "q2"}), study, ready)
    assert _rows(ready, study, "larger")["response"].to_list() == ["old"]
    assert _rows(ready, study, "smaller")["response"].to_list() == ["new", "2"]


def test_row_groups_are_bounded_by_rows_and_by_text(write, study, ready, monkeypatch):
    many = study.model_copy(update={"trials": 7})
    monkeypatch.setattr(staging, "_ROW_GROUP_ROWS", 3)
    traces = [TRACE | {"trial": trial} for trial in range(7)]
    _import(write(*traces), many, ready)
    path = staging.traces_file(ready, "sums", "f", "math", "addition", "smaller")
    assert _group_sizes(path) == [3, 3, 1]
    monkeypatch.setattr(staging, "_ROW_GROUP_CHARACTERS", 2)  # each response is one character
    _import(write(*traces), many, ready)
    assert _group_sizes(path) == [2, 2, 2, 1]
    assert _rows(ready, many, "smaller")["trial"].to_list() == list(range(7))


def _group_sizes(path):
    metadata = staging.pq.read_metadata(path)
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


BAD_LINES = {
    "not JSON": ("{]", "not JSON: "),
    "not UTF-8": (b'{"response": "\x80"}', "byte 15 is not UTF-8"),
    "missing field": ({"question_id": "q1", "model": "small", "trial": 1}, "field 'response': is missing"),
    "unknown field": (TRACE | {"answer": "2"}, "field 'answer': unknown; allowed: question_id, model, trial, response"),
    "null model": (TRACE | {"model": None}, "field 'model': is null"),
    "response of a wrong type": (
        TRACE | {"response": ["2"]},
        "field 'response': ['2']; allowed: text of at most 16 MiB",
    ),
    "trial as text": (TRACE | {"trial": "1"}, "field 'trial': '1'; allowed: a whole number from 0"),
    "trial as flag": (TRACE | {"trial": True}, "field 'trial': True; allowed: a whole number from 0"),
    "fractional trial": (TRACE | {"trial": 1.0}, "field 'trial': 1.0; allowed: a whole number from 0"),
    "negative trial": (TRACE | {"trial": -1}, "field 'trial': -1; allowed: a whole number from 0"),
    "trial beyond T": (TRACE | {"trial": 2}, "field 'trial': 2; allowed: 0 to 1 (the study's trials)"),
    "duplicate trial": (TRACE, "field 'trial': trial 0 of the smaller model on question 'q1' occurs twice"),
    "unknown question": (TRACE | {"question_id": "q9"}, "field 'question_id': 'q9' is not a question of the benchmark"),
    "wrong model": (
        TRACE | {"model": "tiny"},
        "field 'model': 'tiny'; allowed: org/large (larger), large (larger), small (smaller)",
    ),
    "too many tokens": (TRACE | {"prompt_tokens": 2**63}, "field 'prompt_tokens': 9223372036854775808; allowed"),
    "sampling": (TRACE | {"sampling": [1]}, "field 'sampling': [1]; allowed: an object or text"),
    "verdict": (TRACE | {"recorded_correct": 1}, "field 'recorded_correct': 1; allowed: true or false"),
    "other family": (TRACE | {"family": "g"}, "field 'family': 'g'; allowed: 'f', as imported"),
    "NUL": (TRACE | {"response": "\0"}, "field 'response': contains U+0000"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_changes(write, study, ready, content, name):
    line, message = BAD_LINES[name]
    _import(write(TRACE | {"response": "before"}), study, ready)
    before = content()
    path = write(TRACE, TRACE | {"model": "large"}, line)
    with pytest.raises(ImportFileError, match=re.escape(message)) as error:
        _import(path, study, ready)
    assert str(error.value).startswith(f"{path}, line 3")
    assert len(str(error.value).splitlines()) == 1
    assert content() == before


@pytest.mark.parametrize(
    ("family", "domain", "benchmark", "message"),
    [
        ("h", "math", "addition", "study sums has no family 'h'; allowed: f, g"),
        ("f", "art", "addition", "study sums has no domain 'art'"),
        ("f", "math", "motion", "domain math of study sums has no benchmark 'motion'"),
        ("f", "math", "subtraction", "benchmark subtraction of domain math has no imported questions yet"),
        ("g", "math", "addition", "field 'model': 'served' has provider vllm; allowed: models with provider"),
    ],
)
def test_a_place_outside_the_study_is_refused(write, study, ready, content, family, domain, benchmark, message):
    before = content()
    with pytest.raises(ImportFileError, match=message):
        _import(write(TRACE | {"model": "served"}), study, ready, family, domain, benchmark)
    assert content() == before


@pytest.mark.parametrize("lines", [(), ("", " ")])
def test_a_file_without_traces_is_refused(write, study, ready, lines):
    with pytest.raises(ImportFileError, match="the file contains no traces"):
        _import(write(*lines) if lines else write(" "), study, ready)


def test_a_huge_response_is_refused_without_being_held(write, study, ready):
    path = write(b'{"question_id": "q1", "model": "small", "trial": 0, "response": "' + b"x" * 100_000_000 + b'"}')
    tracemalloc.start()
    with pytest.raises(ImportFileError, match="line 1: longer than 49 MiB; allowed: texts of at most 16 MiB"):
        _import(path, study, ready)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6  # the first 49 MiB, twice while the line is put together


def test_the_line_limit_counts_bytes_and_names_the_line(write, study, ready, monkeypatch):
    path = write(TRACE, TRACE | {"trial": 1, "response": "x" * 100})
    monkeypatch.setattr(json_lines, "_MAX_LINE_BYTES", 100)
    with pytest.raises(ImportFileError, match="line 2: longer than"):
        _import(path, study, ready)


def test_a_fault_while_replacing_leaves_no_staged_file(write, study, ready, content, monkeypatch):
    _import(write(TRACE), study, ready)
    before = content()

    def fail(*_arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(staging, "add_provenance", fail)
    with pytest.raises(OSError, match="No space left"):
        _import(write(TRACE | {"response": "new"}), study, ready)
    assert content() == before


def test_files_left_by_a_killed_import_are_overwritten(write, study, ready, content):
    target = staging.traces_file(ready, "sums", "f", "math", "addition", "smaller")
    target.parent.mkdir(parents=True)
    target.with_name(".smaller.parquet.staged").write_bytes(b"half a file")
    assert not has_imported_traces(ready, study, "f", "math")
    _import(write(TRACE), study, ready)
    assert [name for name in content() if "traces" in name] == ["sums/traces/f/math/addition/smaller.parquet"]


def test_two_imports_into_a_study_do_not_mix(write, study, ready):
    with (ready / "sums" / ".import.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ImportFileError, match="another import into study sums is running"):
            _import(write(TRACE), study, ready)
    assert _import(write(TRACE), study, ready).n_rows == 1


def test_nothing_imported_reads_as_an_empty_table(study, root):
    assert not has_imported_traces(root, study, "f", "math")
    empty = scan_imported_traces(root, study, "f", "math", "larger").collect()
    assert empty.height == 0
    assert empty.schema == pl.Schema({column.name: column.dtype for column in LARGER_TRACES.columns})


def test_a_lower_number_of_trials_leaves_out_the_later_ones(write, study, ready):
    _import(write(TRACE, TRACE | {"trial": 1}), study, ready)
    assert has_imported_traces(ready, study, "f", "math")
    assert _rows(ready, study.model_copy(update={"trials": 1}), "smaller")["trial"].to_list() == [0]


def _with_models(study: Study, larger: dict, smaller: dict) -> Study:
    models = {"larger": larger | {"provider": "imported"}, "smaller": smaller | {"provider": "imported"}}
    return Study.model_validate(study.model_dump() | {"families": {"f": models}})


def test_traces_of_models_that_changed_places_are_refused(write, study, ready):
    _import(write(TRACE, TRACE | {"model": "large"}), study, ready)
    swapped = _with_models(study, {"model": "small"}, {"model": "org/large"})
    with pytest.raises(ImportFileError, match=r"the larger model of family f is small, .* were imported for org/large"):
        _rows(ready, swapped, "larger")
    renamed = _with_models(study, {"model": "Large", "aliases": ["org/large"]}, {"model": "small"})
    assert _rows(ready, renamed, "larger")["model"].to_list() == ["Large"]
