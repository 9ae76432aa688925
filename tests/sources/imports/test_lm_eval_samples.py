"""Samples in tests/cases/lm_eval/runs, written by the lm-evaluation-harness (see make.py there)."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS, LARGER_TRACES
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import scan_imported_traces
from advcluster_dagster.sources.imports.staging import questions_file
from advcluster_dagster.study.study import Study

RUNS = Path(__file__).resolve().parents[2] / "cases" / "lm_eval" / "runs"
IMPORTED = {"provider": "imported"}


@pytest.fixture
def study():
    return Study.model_validate(
        {
            "study": "sums",
            "trials": 2,
            "families": {
                "f": {
                    "larger": {"model": "org/large", **IMPORTED},
                    "smaller": {"model": "small", "aliases": ["org/small"], **IMPORTED},
                }
            },
            "domains": {"math": ["sums", "sums_twice", "sums_options", "other"]},
            "benchmarks": {"other": {"source": "simulated"}},
        }
    )


@pytest.fixture
def runs(tmp_path):
    """Copy the runs of the given models to a separate folder."""

    def copy(*models):
        for model in models or ("large", "small"):
            shutil.copytree(RUNS / f"org__{model}", tmp_path / "runs" / f"org__{model}")
        return tmp_path / "runs"

    return copy


def _import(path, study, root, benchmark="sums", answer_type="numeric", **options):
    return import_logs(path, find_logs(path), study, "f", "math", benchmark, root, answer_type, **options)


def _traces(root, study, role):
    return scan_imported_traces(root, study, "f", "math", role).collect()


def _questions(root, benchmark="sums"):
    return pl.read_parquet(questions_file(root, "sums", "math", benchmark))


def _samples(folder, model, task):
    (path,) = (folder / f"org__{model}").glob(f"samples_{task}_2*.jsonl")
    return path


def _change(path, **changes):
    """Change fields of the first record."""
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(first) | changes) + "\n" + "".join(rest), encoding="utf-8")


def test_a_folder_of_both_models_gives_questions_traces_and_verdicts(runs, study, root):
    progress = []
    folder = runs()
    outcome = _import(folder, study, root, on_progress=lambda done, total: progress.append((done, total)))
    traces, questions = outcome.summaries
    assert (traces.source_format, traces.n_rows_by_role) == ("lm_eval_samples", {"larger": 4, "smaller": 4})
    assert traces.models == {"larger": "org/large", "smaller": "small"}
    assert (questions.n_rows, questions.answer_type) == (4, "numeric")
    others = [
        _samples(folder, model, task).name for model in ("large", "small") for task in ("sums_options", "sums_twice")
    ]
    assert outcome.remarks == [f"skipped 4 logs of other tasks than sums: {', '.join(others)}"]
    assert outcome.facts == [
        "recorded verdicts are those of exact_match under filter strict-match (not those of flexible-extract)"
    ]
    files = [_samples(folder, model, "sums") for model in ("large", "small")]
    assert traces.file_name == ", ".join(path.relative_to(folder).as_posix() for path in files)
    assert progress[-1][0] == progress[-1][1] == sum(path.stat().st_size for path in files)

    table = _questions(root)
    assert table.select("question_id", "question", "prompt", "answer").row(3) == (
        "sums-3", "Wie viel ist 3·4?", "Question: Wie viel ist 3·4?\nAnswer:", "12",
    )  # fmt: skip
    assert set(table["source"]) == {"lm-evaluation-harness, sums version 2.0"}
    assert BENCHMARK_QUESTIONS.faults(BENCHMARK_QUESTIONS.conform(table.lazy(), {"domain": "math"})) == []
    # The smaller model adds where it should multiply: 61+8+35 and 7+8+9. The second filter would call it right as
    # rarely; each document counts once, under the first.
    smaller = _traces(root, study, "smaller")
    assert smaller.select("question_id", "trial", "model", "response", "recorded_correct", "engine").rows() == [
        ("sums-0", 0, "small", "61*8+35 is worked out step by step.\nSo it is \\boxed{104}.", False, "scripted"),
        ("sums-1", 0, "small", "12*12-4 is worked out step by step.\nSo it is \\boxed{140}.", True, "scripted"),
        ("sums-2", 0, "small", "7+8*9 is worked out step by step.\nSo it is \\boxed{24}.", False, "scripted"),
        ("sums-3", 0, "small", "3*4 is worked out step by step.\nSo it is \\boxed{12}.", True, "scripted"),
    ]
    settings = {"until": ["Question:"], "do_sample": True, "temperature": 0.6, "max_gen_toks": 512}
    assert json.loads(smaller["sampling"][0]) == settings
    partition = {"family": "f", "domain": "math"}
    assert LARGER_TRACES.faults(LARGER_TRACES.conform(_traces(root, study, "larger").lazy(), partition)) == []


def test_repeats_are_trials_and_have_no_verdict_of_their_own(runs, study, root):
    _import(runs(), study, root, "sums_twice")
    smaller = _traces(root, study, "smaller").filter(benchmark="sums_twice")
    assert smaller.select("trial", "response", "recorded_correct").rows()[:2] == [
        (0, "61*8+35 is worked out step by step.\nSo it is \\boxed{104}.", None),
        (1, "Let me see: 61*8+35 is", None),
    ]


def test_several_runs_of_a_model_follow_each_other_as_trials(runs, study, root):
    folder = runs("small")
    earlier = _samples(folder, "small", "sums")
    later = earlier.with_name("samples_sums_2099-01-01T00-00-00.000000.jsonl")
    shutil.copyfile(earlier, later)
    _change(later, resps=[["later"]])
    _import(folder, study, root)
    asked_first = _traces(root, study, "smaller").filter(question_id="sums-0").sort("trial")
    assert asked_first["trial"].to_list() == [0, 1]
    assert asked_first["response"][1] == "later"
    third = earlier.with_name("samples_sums_2099-02-01T00-00-00.000000.jsonl")
    shutil.copyfile(earlier, third)
    _change(third, resps=[["latest"]])
    with pytest.raises(ImportFileError, match=r"2099-02.*line 1, field 'trial': 2; allowed: 0 to 1"):
        _import(folder, study, root)


def test_models_may_come_one_after_the_other(runs, study, root):
    folder = runs()
    for model in ("large", "small"):
        _import(_samples(folder, model, "sums"), study, root)
    assert [_traces(root, study, role).height for role in ("larger", "smaller")] == [4, 4]
    assert _questions(root).height == 4


def test_a_file_without_its_results_is_the_model_of_its_folder(runs, study, root):
    folder = runs("small")
    for results in folder.rglob("results_*.json"):
        results.unlink()
    _import(folder, study, root)
    assert _traces(root, study, "smaller")["engine"].unique().to_list() == ["imported"]
    assert _questions(root)["source"].unique().to_list() == ["lm-evaluation-harness, sums"]


def test_questions_that_were_imported_stay_and_documents_are_found_by_their_own_id(runs, study, root, write):
    texts = {
        "What is  61*8+35?": "523",
        "What is 12*12-4?": "140.0",
        "What is 7+8*9?": "79",
        "Wie viel ist 3\u00b74?": "12",
    }
    questions = [
        {"question_id": f"s-{number}", "question": text, "answer": answer, "answer_type": "numeric"}
        for number, (text, answer) in enumerate(texts.items(), start=1)
    ]
    import_questions(write(*questions), study, "math", "sums", root)
    (summary,) = _import(runs("small"), study, root, answer_type=None).summaries
    assert summary.kind == "traces"
    assert _traces(root, study, "smaller")["question_id"].to_list() == ["s-1", "s-2", "s-3", "s-4"]
    assert _questions(root)["question"].to_list() == list(texts)
    import_questions(write(*questions[:3]), study, "math", "sums", root)
    with pytest.raises(ImportFileError, match="line 4, field 'question_id': 'sums-3' is not a question of the"):
        _import(RUNS / "org__small", study, root)


def test_a_chat_prompt_is_its_messages(runs, study, root):
    folder = runs("small")
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "61*8+35?"}])
    samples = _samples(folder, "small", "sums")
    _change(samples, arguments={"gen_args_0": {"arg_0": [chat], "arg_1": None}}, doc={"text": "unknown"})
    _import(folder, study, root)
    assert _questions(root).select("question", "prompt").row(0) == ("Be brief.\n\n61*8+35?",) * 2
    assert _traces(root, study, "smaller")["sampling"][0] is None


@pytest.mark.parametrize(
    ("metrics", "verdict"),
    [
        ({"exact_match": 0.5}, None),
        ({"exact_match": float("nan")}, None),
        ({"exact_match": 0.0, "acc": 1.0}, False),
        ({"acc": True}, True),
        ({"bleu": 1.0}, None),
    ],
)
def test_the_verdict_is_that_of_a_metric_that_says_right_or_wrong(runs, study, root, metrics, verdict):
    folder = runs("small")
    path = _samples(folder, "small", "sums")
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    record = {name: value for name, value in json.loads(first).items() if name != "exact_match"}
    path.write_text(json.dumps(record | metrics) + "\n" + "".join(rest), encoding="utf-8")
    _import(folder, study, root)
    assert _traces(root, study, "smaller")["recorded_correct"][0] is verdict


BAD = {
    "responses": ({"resps": [[["-0.5", "False"]]]}, "line 1, field 'resps': not generated text; allowed: tasks of"),
    "no responses": ({"resps": None}, "line 1, field 'resps': not generated text"),
    "arguments": ({"arguments": {}}, "line 1, field 'arguments': allowed: {'gen_args_0'"),
    "chat": ({"arguments": {"gen_args_0": {"arg_0": ["[1]"]}}}, "line 1, field 'arguments': allowed"),
    "target": ({"target": None}, "line 1, field 'answer': is null; allowed: text that is not blank, or a number"),
    "NUL": ({"resps": [["\0"]]}, "line 1, field 'response': contains U+0000"),
    "twice": ({"doc_id": 1}, "line 2, field 'doc_id': '1' occurs twice; allowed: once per filter"),
    "other document": (
        {"target": "9"},
        "line 1: question 'sums-0' is not the one imported for sums: its gold answer is '9', imported: '523'; 1 of 4",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_named_and_nothing_changes(runs, study, root, content, name):
    changes, message = BAD[name]
    folder = runs()
    _import(folder, study, root, "sums_twice")
    before = content()
    path = _samples(folder, "small", "sums")
    _change(path, **changes)
    with pytest.raises(ImportFileError, match=re.escape(message)) as error:
        _import(folder if name == "other document" else folder / "org__small", study, root)
    assert str(error.value).startswith(str(path))
    assert len(str(error.value).splitlines()) == 1
    assert content() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "invalid JSON"),
        ("[]", "not the results of a run"),
        ('{"versions": 1}', "not the results of a run"),
    ],
)
def test_bad_results_are_named(runs, study, root, text, message):
    folder = runs("small")
    (results,) = folder.rglob("results_*.json")
    results.write_text(text)
    with pytest.raises(ImportFileError, match=f"^{re.escape(str(results))}: {message}"):
        _import(folder, study, root)


def test_what_does_not_fit_the_study_is_refused(runs, study, root, content):
    folder = runs("small", "dummy")
    for options, message in (
        ({"answer_type": None}, "the log does not specify how answers are compared; pass --answer-type; allowed:"),
        ({"answer_type": "number"}, "answer type 'number'; allowed: numeric, choice"),
        ({"benchmark": "addition"}, "domain math of study sums has no benchmark 'addition'"),
        ({"benchmark": "other"}, "questions of benchmark other are simulated; allowed: benchmarks with source: import"),
        ({}, "model: 'org/dummy'; allowed: org/large (larger), small (smaller), org/small (smaller), or a name listed"),
        ({"benchmark": "sums_options"}, "field 'resps': not generated text"),
    ):
        with pytest.raises(ImportFileError, match=re.escape(message)):
            _import(folder, study, root, **options)
    assert content() == {}


def test_what_is_no_log_is_left_to_other_imports(tmp_path, write, runs):
    assert find_logs(write({"question_id": "q", "model": "m"}, name="samples_of_mine.jsonl")) is None
    assert find_logs(tmp_path / "nothing") is None
    (tmp_path / "empty").mkdir()
    assert find_logs(tmp_path / "empty") is None
    logs = find_logs(runs("small"))
    assert (logs.source_format, len(logs.paths)) == ("lm_eval_samples", 3)
    (tmp_path / "runs" / "a.eval").touch()
    with pytest.raises(ImportFileError, match="contains logs of different tools"):
        find_logs(tmp_path / "runs")
