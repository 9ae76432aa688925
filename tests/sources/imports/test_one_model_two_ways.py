"""Imports for a family that uses one model with two settings; roles or labels tell them apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.field_map import parse_map
from advcluster_dagster.sources.imports.mapped_records import mapped_logs
from advcluster_dagster.sources.imports.missing import missing_imports
from advcluster_dagster.sources.imports.official_results import import_official_results
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import import_provenance, scan_imported_traces
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.study import Study
from tests.sources.imports.conftest import STUDY

WITH: dict[str, Any] = {
    "model": "qwen", "provider": "imported", "label": "with thinking", "sampling": {"enable_thinking": True}
}  # fmt: skip
WITHOUT = {**WITH, "label": "without thinking", "sampling": {"enable_thinking": False}, "aliases": ["qwen-direct"]}
TRACE = {"question_id": "q1", "model": "qwen", "trial": 0, "response": "2"}


def _study(larger: dict[str, Any] = WITH, smaller: dict[str, Any] = WITHOUT) -> Study:
    return Study.model_validate(STUDY | {"families": {"f": {"larger": larger, "smaller": smaller}}})


@pytest.fixture
def study() -> Study:
    return _study()


@pytest.fixture
def ready(write, study, root):
    """The root with one question imported."""
    question = {"question_id": "q1", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
    import_questions(write(question, name="questions.jsonl"), study, "math", "addition", root)
    return root


def _import(path, study, root):
    return import_traces(path, study, "f", "math", "addition", root)


def _responses(root, study, role):
    return scan_imported_traces(root, study, "f", "math", role).collect()["response"].to_list()


@pytest.mark.parametrize(
    ("thinking", "direct"),
    [
        ({"role": "larger"}, {"role": "smaller"}),
        ({"label": "with thinking"}, {"label": "without thinking"}),
        ({"role": "larger", "label": "with thinking"}, {"label": "without thinking", "role": None}),
        ({"model": "with thinking"}, {"model": "qwen-direct"}),  # a label, or an alias of one model, is unambiguous too
    ],
)
def test_a_row_says_by_role_or_label_whose_it_is(write, study, ready, thinking, direct):
    path = write(TRACE | thinking | {"response": "a"}, TRACE | direct | {"response": "b"})
    summary = _import(path, study, ready)
    assert summary.n_rows_by_role == {"larger": 1, "smaller": 1}
    assert summary.models == {"larger": "qwen", "smaller": "qwen"}
    assert summary.labels == {"larger": "with thinking", "smaller": "without thinking"}
    assert [_responses(ready, study, role) for role in ("larger", "smaller")] == [["a"], ["b"]]


BAD_ROWS = {
    "neither": (
        {},
        "field 'model': 'qwen' refers to both models of family f; tell them apart in each row with a field role"
        " (larger or smaller) or label ('with thinking' or 'without thinking')",
    ),
    "both empty": (
        {"role": None, "label": None},
        "field 'model': 'qwen' refers to both models of family f; tell them apart",
    ),
    "no such role": ({"role": "bigger"}, "field 'role': 'bigger' of model 'qwen'; allowed: 'larger' or 'smaller'"),
    "no such label": (
        {"label": "thinking"},
        "field 'label': 'thinking' of model 'qwen'; allowed: 'with thinking' or 'without thinking'",
    ),
    "role and label of different ones": (
        {"role": "larger", "label": "without thinking"},
        "field 'label': 'without thinking' of model 'qwen'; allowed: 'with thinking'",
    ),
    "role and alias of different ones": (
        {"role": "larger", "model": "qwen-direct"},
        "field 'role': 'larger' of model 'qwen-direct'; allowed: 'smaller'",
    ),
    "no such model": (
        {"model": "gpt", "role": "larger"},
        "field 'model': 'gpt'; allowed: qwen (larger or smaller), with thinking (larger), qwen-direct (smaller),"
        " without thinking (smaller)",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_does_not_say_it_is_refused_in_one_line_and_nothing_changes(write, study, ready, content, case):
    extra, message = BAD_ROWS[case]
    _import(write(TRACE | {"role": "larger", "response": "before"}), study, ready)
    before = content()
    path = write(TRACE | {"role": "smaller"}, TRACE | extra)
    with pytest.raises(ImportFileError) as caught:
        _import(path, study, ready)
    assert str(caught.value).startswith(f"{path}, line 2, {message}")
    assert "\n" not in str(caught.value)
    assert content() == before


def test_roles_of_two_models_may_be_given_and_must_be_theirs(write, root):
    study = Study.model_validate(STUDY)
    question = {"question_id": "q1", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
    import_questions(write(question, name="questions.jsonl"), study, "math", "addition", root)
    assert _import(write(TRACE | {"model": "small", "role": "smaller"}), study, root).labels == {}
    for extra, message in (
        ({"role": "larger"}, "field 'role': 'larger' of model 'small'; allowed: 'smaller'"),
        ({"label": "l"}, "field 'label': 'l'; family f of the study has no labels; give each of its models one, or"),
    ):
        with pytest.raises(ImportFileError, match=re.escape(message)):
            _import(write(TRACE | {"model": "small"} | extra), study, root)


def test_traces_of_a_label_that_is_now_the_other_model_are_not_taken(write, study, ready):
    _import(write(TRACE | {"role": "larger"}, TRACE | {"role": "smaller"}), study, ready)
    renamed = _study(WITH | {"label": "on"}, WITHOUT | {"label": "off"})
    assert _responses(ready, renamed, "larger") == ["2"]
    with pytest.raises(ImportFileError) as caught:
        _responses(ready, _study(WITHOUT, WITH), "larger")
    assert str(caught.value) == (
        "study sums: the traces of addition imported for the larger model of family f belong to"
        " 'with thinking', which is now the other model; import them again"
    )
    assert import_provenance(ready, study, "math", "f", "larger")[0]["labels"]["larger"] == "with thinking"


def test_what_is_missing_is_named_by_label(study, ready):
    (line, *_) = missing_imports(ready, study, "math", "f")
    assert "no traces of the larger model with thinking and the smaller model without thinking: " in line


def test_records_of_another_form_say_it_with_a_map(write, study, ready):
    record = {"id": "q1", "output": "2", "way": "without thinking", "model": "qwen"}
    for name, fields in (("on.jsonl", ["role='larger'"]), ("off.jsonl", ["label=way"])):
        path = write(record, name=name)
        logs = mapped_logs(path, parse_map(["response=output", *fields]))
        import_logs(path, logs, study, "f", "math", "addition", ready)
    assert [_responses(ready, study, role) for role in ("larger", "smaller")] == [["2"], ["2"]]
    path = write(record)
    with pytest.raises(ImportFileError) as caught:
        import_logs(path, mapped_logs(path, parse_map(["response=output"])), study, "f", "math", "addition", ready)
    assert str(caught.value).startswith(f"{path}, model: 'qwen' refers to both models of family f; import the logs")
    mixed = write(record, record | {"way": "with thinking"})
    logs = mapped_logs(mixed, parse_map(["response=output", "label=way"]))
    with pytest.raises(ImportFileError, match=r"label is 'with thinking', but 'without thinking' in the first record"):
        import_logs(mixed, logs, study, "f", "math", "addition", ready)


def test_a_folder_of_samples_may_be_called_by_the_label(tmp_path: Path, study, ready):
    sample = {
        "doc_id": 0, "doc": {"question_id": "q1", "question": "1 + 1?"}, "target": "2", "resps": [["2"]],
        "arguments": {"gen_args_0": {"arg_0": "1 + 1?", "arg_1": {}}}, "filter": "none",
    }  # fmt: skip
    for name in ("with thinking", "without thinking"):
        path = tmp_path / "samples" / name / "samples_addition_2025-01-01T00-00-00.000000.jsonl"
        path.parent.mkdir(parents=True)
        response = {"resps": [[f"{name}: 2"]]}
        path.write_text(json.dumps(sample | response) + "\n", encoding="utf-8")
    folder = tmp_path / "samples"
    logs = find_logs(folder)
    assert logs is not None
    import_logs(folder, logs, study, "f", "math", "addition", ready)
    assert [_responses(ready, study, role) for role in ("larger", "smaller")] == [
        ["with thinking: 2"],
        ["without thinking: 2"],
    ]


def test_a_folder_of_results_may_be_called_by_the_label_and_not_by_the_name(tmp_path: Path, study, ready):
    def results(model: str, response: str) -> Path:
        path = tmp_path / "results" / "math" / "addition" / model / "10_runs.json"
        path.parent.mkdir(parents=True)
        record = {"question": "1 + 1?", "full_response": response, "gold": "2"}
        path.write_text(json.dumps({"runs": [{"run_id": 0, "records": [record]}]}), encoding="utf-8")
        return path

    results("with thinking", "a")
    results("without thinking", "b")
    import_official_results(tmp_path / "results", study, "f", ready, "numeric")
    assert [_responses(ready, study, role) for role in ("larger", "smaller")] == [["a"], ["b"]]
    path = results("qwen", "c")
    with pytest.raises(ImportFileError) as caught:
        import_official_results(tmp_path / "results", study, "f", ready, "numeric")
    assert str(caught.value) == (
        f"{path}, folder of the model: 'qwen' refers to both models of family f; name the folder after the label,"
        " 'with thinking' or 'without thinking'"
    )
