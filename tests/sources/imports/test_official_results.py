import hashlib
import json
import re

import polars as pl
import pytest

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.official_results import import_official_results
from advcluster_dagster.sources.imports.readers import import_provenance, scan_imported_traces
from advcluster_dagster.sources.imports.staging import questions_file


def _record(question, response="\\boxed{2}", gold="2", **more):
    return {"question": question, "full_response": response, "gold": gold, "correct": True, "prediction": "2"} | more


def _id(question):
    return "addition-" + hashlib.sha256(question.encode()).hexdigest()[:12]


@pytest.fixture
def folder(tmp_path):
    """Write runs, each a list of records, as the result file of a model; returns the root folder."""

    def write_runs(model, *runs, place="math/addition", run_ids=None):
        path = tmp_path / "results" / place / model / "10_runs.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = run_ids or range(len(runs))
        listed = [{"run_id": run_id, "records": run} for run_id, run in zip(ids, runs, strict=True)]
        path.write_text(json.dumps({"runs": listed, "aggregate": {"mean_length": float("nan")}}, indent=1))
        return tmp_path / "results"

    return write_runs


def _import(folder, study, root, family="f", answer_type="numeric", **options):
    return import_official_results(folder, study, family, root, answer_type, **options)


def _questions(root, benchmark="addition"):
    return pl.read_parquet(questions_file(root, "sums", "math", benchmark))


def _traces(root, study, role, family="f"):
    return scan_imported_traces(root, study, family, "math", role).collect()


def test_questions_and_traces_come_from_the_records(folder, study, root):
    folder(
        "large", [_record("1 + 1?", reasoning_length=7), _record("2 + 0?", correct=False)], [_record("1 + 1?", None)]
    )
    result_folder = folder("small", [_record("1  + 1?"), _record("0 + 2?", gold=2.50)])
    progress = []
    traces, questions = _import(
        result_folder, study, root, on_progress=lambda done, total: progress.append((done, total))
    )
    assert (traces.n_rows_by_role, questions.n_rows) == ({"larger": 3, "smaller": 2}, 3)
    assert traces.file_name == "math/addition/large/10_runs.json, math/addition/small/10_runs.json"
    assert questions.answer_type == "numeric"
    assert progress[-1][0] == progress[-1][1] == sum(path.stat().st_size for path in result_folder.rglob("*.json"))
    assert import_provenance(root, study, "math", "f", "larger") == [traces.as_dict()]

    table = _questions(root)
    assert dict(table.select("question_id", "answer").rows()) == {
        _id("1 + 1?"): "2",
        _id("2 + 0?"): "2",
        _id("0 + 2?"): "2.5",
    }
    assert table["prompt"].to_list() == table["question"].to_list()
    assert BENCHMARK_QUESTIONS.faults(BENCHMARK_QUESTIONS.conform(table.lazy(), {"domain": "math"})) == []

    # "2 + 0?" is missing from the second run: a missing trial, not a wrong one.
    larger = _traces(root, study, "larger")
    assert larger.select("question_id", "trial", "model", "response", "recorded_correct").rows() == [
        (_id("1 + 1?"), 0, "org/large", "\\boxed{2}", True),
        (_id("2 + 0?"), 0, "org/large", "\\boxed{2}", False),
        (_id("1 + 1?"), 1, "org/large", None, True),
    ]


def test_a_model_name_with_a_slash_is_a_folder_in_a_folder(folder, study, root):
    summaries = _import(folder("org/large", [_record("1 + 1?")]), study, root)
    assert summaries[0].n_rows_by_role == {"larger": 1}


@pytest.mark.parametrize(("run_ids", "trials"), [([7, 3], [1, 0]), (["b", "a"], [0, 1]), ([1, 1], [0, 1])])
def test_trials_follow_the_run_ids_where_each_run_has_its_own(folder, study, root, run_ids, trials):
    _import(folder("small", [_record("1 + 1?", "first")], [_record("1 + 1?", "second")], run_ids=run_ids), study, root)
    by_response = dict(_traces(root, study, "smaller").select("response", "trial").rows())
    assert [by_response["first"], by_response["second"]] == trials


def test_without_a_family_every_family_of_the_model_gets_its_traces(folder, study, root):
    folder("small", [_record("1 + 1?")])
    summaries = _import(folder("tiny", [_record("1 + 1?", "\\boxed{3}")]), study, root, family=None)
    assert [(summary.kind, summary.family) for summary in summaries] == [
        ("traces", "f"),
        ("traces", "g"),
        ("questions", None),
    ]
    assert _traces(root, study, "smaller", "g")["response"].to_list() == ["\\boxed{3}"]
    assert _questions(root).height == 1


def test_questions_of_earlier_imports_of_such_files_stay(folder, study, root):
    _import(folder("small", [_record("1 + 1?")]), study, root)
    assert _questions(root)["question_id"].to_list() == [_id("1 + 1?")]
    _import(folder("small", [_record("1 + 1?"), _record("0 + 2?")]), study, root)
    assert _questions(root)["question_id"].to_list() == [_id("1 + 1?"), _id("0 + 2?")]


def test_one_benchmark_of_a_folder_can_be_chosen(folder, study, root):
    folder("small", [_record("1 + 1?")])
    result_folder = folder("small", [_record("3 - 1?")], place="math/subtraction")
    _import(result_folder, study, root, benchmark="subtraction", answer_type="text")
    assert not questions_file(root, "sums", "math", "addition").exists()
    assert _questions(root, "subtraction")["answer_type"].to_list() == ["text"]


GOOD = _record("1 + 1?")
BAD_RUNS = {
    "missing field": ([{"question": "?", "gold": "2"}], "run 0, record 1, field 'full_response': is missing"),
    "wrong type": ([GOOD | {"question": 5}], "run 0, record 1, field 'question': 5; allowed: text of at most 16 MiB"),
    "null gold": (
        [GOOD | {"gold": None}],
        "run 0, record 1, field 'gold': is null; allowed: text that is not blank, or",
    ),
    "verdict": ([GOOD | {"correct": "yes"}], "run 0, record 1, field 'correct': 'yes'; allowed: true or false"),
    "question twice": ([GOOD, GOOD], "run 0, record 2, field 'question': occurs twice; allowed: once per run"),
    "two golds": (
        [GOOD | {"question": "0 + 1?"}, GOOD | {"gold": "3"}],
        "run 0, record 2: question 'addition-c97c3a9c9b99' is not the one imported for addition: its gold answer",
    ),
    "NUL": ([GOOD | {"full_response": "\0"}], "run 0, record 1, field 'full_response': contains U+0000"),
    "record no object": ([1], "run 0, field 'records': allowed: a list of objects"),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_bad_record_is_named_and_nothing_changes(folder, study, root, content, name):
    run, message = BAD_RUNS[name]
    _import(folder("large", [GOOD]), study, root)
    before = content()
    result_folder = folder("small", run)
    with pytest.raises(ImportFileError, match=re.escape(message)) as error:
        _import(result_folder, study, root)
    assert str(error.value).startswith(str(result_folder / "math/addition/small/10_runs.json"))
    assert len(str(error.value).splitlines()) == 1
    assert content() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "invalid JSON"),
        (b"\xff", "byte 1 is not UTF-8"),
        (b"[" * 100_000, "invalid JSON"),
        (b"[]", "field 'runs': allowed: a list of one or more runs"),
        (b'{"runs": []}', "field 'runs': allowed: a list of one or more runs"),
        (b'{"runs": [{"run_id": 0}]}', "field 'records': allowed: a list of objects"),
        (b"", "the file is empty"),
    ],
)
@pytest.mark.usefixtures("_no_collection")
def test_a_bad_file_is_named(folder, study, root, content, text, message):
    result_folder = folder("small", [GOOD])
    (result_folder / "math/addition/small/10_runs.json").write_bytes(text)
    with pytest.raises(ImportFileError, match=message):
        _import(result_folder, study, root)
    assert content() == {}


@pytest.mark.parametrize(
    ("place", "model", "family", "message"),
    [
        ("art/addition", "small", "f", "study sums has no domain 'art'"),
        ("math/motion", "small", "f", "domain math of study sums has no benchmark 'motion'"),
        ("math/addition", "tiny", "f", "folder of the model: 'tiny'; allowed: org/large, large, small"),
        ("math/addition", "gpt", None, "folder of the model: 'gpt'; allowed: org/large, large, small, served, tiny"),
        ("math/addition", "served", None, "'served' has provider vllm; allowed: models with provider: imported"),
        ("math/addition", "small", "h", "study sums has no family 'h'; allowed: f, g"),
    ],
)
def test_folders_outside_the_study_are_refused(folder, study, root, place, model, family, message):
    with pytest.raises(ImportFileError, match=message):
        _import(folder(model, [GOOD], place=place), study, root, family=family)


def test_more_runs_than_trials_are_refused(folder, study, root):
    with pytest.raises(ImportFileError, match="field 'runs': 3 runs; allowed: at most 2, the study's trials"):
        _import(folder("small", [GOOD], [GOOD], [GOOD]), study, root)


def test_one_model_under_two_names_is_refused(folder, study, root):
    folder("large", [GOOD])
    with pytest.raises(ImportFileError, match="the same model twice"):
        _import(folder("org/large", [GOOD]), study, root)


def test_an_unknown_answer_type_or_an_empty_folder_is_refused(tmp_path, folder, study, root):
    with pytest.raises(ImportFileError, match="answer type 'number'; allowed: numeric, choice"):
        _import(folder("small", [GOOD]), study, root, answer_type="number")
    with pytest.raises(ImportFileError, match="contains no result files"):
        _import(tmp_path / "nothing", study, root)
