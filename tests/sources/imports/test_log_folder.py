"""Every file named like a log is imported, or skipped with a reason."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from advcluster_dagster.sources.imports.copies import TrialHashes, redundant_runs
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.inspect_logs import inspect_task, is_inspect_name
from advcluster_dagster.sources.imports.log_folder import choose_logs
from advcluster_dagster.sources.imports.logged_trials import LogHeader
from advcluster_dagster.sources.imports.official_results import import_official_results
from advcluster_dagster.sources.imports.readers import scan_imported_traces
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.sources.imports.verdicts import Scorer
from advcluster_dagster.study.study import Study

RUNS = Path(__file__).resolve().parents[2] / "cases" / "lm_eval" / "runs"
IMPORTED = {"provider": "imported"}
STUDY = Study.model_validate(
    {
        "study": "sums",
        "trials": 2,
        "families": {
            "f": {
                "larger": {"model": "org/large", **IMPORTED},
                "smaller": {"model": "small", "aliases": ["org/small"], **IMPORTED},
            }
        },
        "domains": {"math": ["sums", "sums_twice"]},
    }
)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614\nsize 12345\n"
LATER = "samples_sums_2099-01-01T00-00-00.000000.jsonl"


@pytest.fixture
def runs(tmp_path):
    for model in ("large", "small"):
        shutil.copytree(RUNS / f"org__{model}", tmp_path / "runs" / f"org__{model}")
    return tmp_path / "runs"


def _import(path, root, benchmark="sums", answer_type="numeric"):
    return import_logs(path, find_logs(path), STUDY, "f", "math", benchmark, root, answer_type)


def _samples(folder, model, task="sums"):
    (path,) = (folder / f"org__{model}").glob(f"samples_{task}_2026*.jsonl")
    return path


def _traces(root, role):
    return scan_imported_traces(root, STUDY, "f", "math", role).collect()


def _change_all(path, change):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(number, record)) + "\n" for number, record in enumerate(records)))


UNREADABLE = {
    "empty": (b"", "the file is empty"),
    "pointer": (POINTER, "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"),
    "cut off": (b'{"doc_id": 0, "resps": [["half', "line 1: not JSON"),
    "another kind": (b'{"question_id": "q"}\n', "line 1: not a harness sample; allowed: records with doc_id and"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file; allowed: JSON Lines"),
    "UTF-16": ("{}".encode("utf-16"), "UTF-16 or UTF-32 text; allowed: UTF-8"),
    "zeros": (bytes(100), "begins with NUL bytes"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_file_that_cannot_be_read_stops_the_import_of_its_task(name, is_alone, runs, root, content):
    data, message = UNREADABLE[name]
    path = _samples(runs, "large")
    path = path if is_alone else path.with_name(LATER)
    path.write_bytes(data)
    with pytest.raises(ImportFileError) as error:
        _import(runs, root)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert "nothing was imported" in str(error.value)
    assert content() == {}
    # A file of another task is reported and does not stop the import.
    path.rename(path.with_name("samples_more_2099-01-01T00-00-00.000000.jsonl"))
    if not is_alone:
        outcome = _import(runs, root)
        (remark,) = (remark for remark in outcome.remarks if "samples_more_" in remark)
        assert remark.startswith("skipped, not of task sums: ")
        assert message in remark


def test_several_files_that_cannot_be_read_are_all_named(runs, root):
    for number in range(3):
        (runs / "org__large" / f"samples_sums_209{number}-01-01T00-00-00.0.jsonl").touch()
    with pytest.raises(
        ImportFileError, match=r"2090-.* is empty.* \(2 more: samples_sums_2091-\S+, samples_sums_2092-"
    ):
        _import(runs, root)


def test_a_folder_of_nothing_but_broken_logs_says_so(tmp_path, root):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / LATER).write_bytes(POINTER)
    with pytest.raises(ImportFileError, match="Git LFS pointer"):
        _import(tmp_path / "logs", root)


def test_files_beside_the_logs_are_named(runs, root):
    (runs / "notes.json").write_text("{}")
    (runs / "org__large" / "traces.jsonl").write_text('{"question_id": "q"}\n')
    (runs / "org__large" / ".checkpoint").mkdir()
    shutil.copyfile(_samples(runs, "large"), runs / "org__large" / ".checkpoint" / LATER)
    (runs / "README.md").write_text("logs")
    remarks = _import(runs, root).remarks
    assert f"not read, because they are not logs: notes.json, traces.jsonl, {LATER}" in remarks


def test_links_are_followed_once(runs, root, tmp_path):
    shutil.move(runs / "org__large", tmp_path / "org__large")
    os.symlink(tmp_path / "org__large", runs / "org__large")
    os.symlink(runs, runs / "org__large" / "around")
    assert _import(runs, root).summaries[0].n_rows_by_role == {"larger": 4, "smaller": 4}


def test_a_link_to_nothing_is_named(runs, root):
    os.symlink(runs / "gone.jsonl", runs / "org__large" / LATER)
    with pytest.raises(ImportFileError, match=r"is a link to .*gone.jsonl, which does not exist"):
        _import(runs, root)


def test_a_file_that_may_not_be_read_is_named(runs, root, monkeypatch):
    path = _samples(runs, "large")
    really_open = Path.open

    def refuse(self, *arguments, **options):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return really_open(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImportFileError, match="cannot be opened: Permission denied"):
        _import(runs, root)


def test_a_folder_that_may_not_be_listed_is_named(runs, root, monkeypatch):
    really_scan = os.scandir

    def refuse(path):
        if Path(path).name == "org__large":
            raise PermissionError(13, "Permission denied", str(path))
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImportFileError, match="org__large: the folder cannot be listed: Permission denied"):
        _import(runs, root)


@pytest.mark.parametrize("change", ["gzip", "marks and Windows line ends", "other order of fields"])
def test_samples_are_known_however_they_are_written(change, runs, root):
    path = _samples(runs, "large")
    text = path.read_text(encoding="utf-8")
    if change == "gzip":
        path.unlink()
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))
    elif change == "other order of fields":
        _change_all(path, lambda _, record: dict(sorted(record.items())))
    else:
        path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert _import(runs, root).summaries[0].n_rows_by_role == {"larger": 4, "smaller": 4}


# ---- copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [LATER, "copy/" + LATER])
def test_a_copied_file_is_no_second_trial(place, runs, root):
    path = _samples(runs, "large")
    copy = path.parent / place
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, copy)
    remarks = _import(runs, root).remarks
    assert any(remark.startswith("skipped") and "a copy of" in remark and LATER in remark for remark in remarks)
    assert _traces(root, "larger")["trial"].unique().to_list() == [0]


def test_a_run_with_the_same_responses_is_no_second_trial(runs, root):
    path = _samples(runs, "small")
    copy = path.with_name(LATER)
    shutil.copyfile(path, copy)
    _change_all(copy, lambda _, record: record | {"exact_match": 1.0})
    remarks = _import(runs, root).remarks
    assert f"skipped org__small/{LATER}: it repeats org__small/{path.name} in every response, so it is not another" in (
        " ".join(remarks)
    )
    traces = _traces(root, "smaller")
    assert traces["trial"].unique().to_list() == [0]
    assert traces["recorded_correct"].to_list() == [False, True, False, True]


def test_a_part_of_a_run_is_no_second_trial_and_the_whole_one_counts(runs, root):
    path = _samples(runs, "small")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    earlier = path.with_name("samples_sums_2000-01-01T00-00-00.0.jsonl")
    earlier.write_text("".join(lines[:2]), encoding="utf-8")
    remarks = _import(runs, root).remarks
    assert any(earlier.name in remark and "it repeats" in remark for remark in remarks)
    assert _traces(root, "smaller").height == 4


def test_runs_with_other_responses_are_trials_of_each_question(runs, root):
    path = _samples(runs, "small")
    later = path.with_name(LATER)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:3]), encoding="utf-8")  # of four documents
    later.write_text("".join(lines), encoding="utf-8")
    _change_all(later, lambda number, record: record | {"resps": [["other"]]} if number == 0 else record)
    _import(runs, root)
    counted = _traces(root, "smaller").group_by("question_id").len().sort("question_id")
    # The last question occurs only in the later run; its only trial is number 0.
    assert counted.rows()[-1] == ("sums-3", 1)
    assert _traces(root, "smaller").filter(question_id="sums-3")["trial"].to_list() == [0]


def test_runs_that_repeat_each_other():
    assert redundant_runs([]) == {}
    assert redundant_runs([{}]) == {}
    assert redundant_runs([{"a": 1}, {"a": 1}]) == {1: 0}
    assert redundant_runs([{"a": 1}, {"a": 2}]) == {}
    assert redundant_runs([{"a": 1}, {"a": 1, "b": 2}]) == {0: 1}
    assert redundant_runs([{"a": 1}, {"b": 1}, {"a": 1}]) == {2: 0}


def test_trials_that_are_equal_in_every_response():
    hashes = TrialHashes()
    assert hashes.equal_trials == []
    for trial, responses in enumerate((["a", "b"], ["a", "c"], ["a", "b"], [None, None], [None, None])):
        for number, response in enumerate(responses):
            hashes.add(f"q{number}", trial, response)
    assert hashes.equal_trials == [0, 2]
    alone = TrialHashes()
    for trial in range(2):
        alone.add("q", trial, "a")
    assert alone.equal_trials == []


def test_equal_trials_of_a_file_are_named(write, study, root):
    from advcluster_dagster.sources.imports.questions import import_questions

    questions = [{"question_id": f"q{n}", "question": f"{n}?", "answer": "2", "answer_type": "text"} for n in range(2)]
    import_questions(write(*questions), study, "math", "addition", root)
    traces = [
        {"question_id": f"q{n}", "model": "small", "trial": trial, "response": f"r{n}"}
        for n in range(2)
        for trial in range(2)
    ]
    remarks = []
    import_traces(write(*traces), study, "f", "math", "addition", root, before_storing=noting(remarks))
    assert remarks == [
        "trials 0, 1 of the smaller model small are equal in every response; remove copies, or keep them if "
        "the model is deterministic"
    ]


def test_runs_of_a_result_file_that_repeat_another_are_no_trials(tmp_path, study, root):
    path = tmp_path / "results" / "math" / "addition" / "small" / "10_runs.json"
    path.parent.mkdir(parents=True)
    record = {"question": "1 + 1?", "full_response": "\\boxed{2}", "gold": "2"}
    path.write_text(json.dumps({"runs": [{"run_id": number, "records": [record]} for number in (0, 1)]}))
    remarks = []
    import_official_results(tmp_path / "results", study, "f", root, "numeric", before_storing=noting(remarks))
    assert remarks == [f"skipped run 1 of {path}: it repeats run 0 in every response, so it is not another trial"]
    assert scan_imported_traces(root, study, "f", "math", "smaller").collect().height == 1


def test_result_files_in_other_places_are_named(tmp_path, study, root):
    record = {"question": "1 + 1?", "full_response": "\\boxed{2}", "gold": "2"}
    text = json.dumps({"runs": [{"records": [record]}]})
    path = tmp_path / "results" / "math" / "addition" / "small" / "10_runs.json"
    for file in (path, tmp_path / "results" / "10_runs.json", path.with_name("10_runs (1).json")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    remarks = []
    import_official_results(tmp_path / "results", study, "f", root, "numeric", before_storing=noting(remarks))
    assert remarks == [
        "not read, because of their path or name: 10_runs.json, math/addition/small/10_runs (1).json; allowed: "
        "DOMAIN/BENCHMARK/MODEL/10_runs.json"
    ]
    with pytest.raises(ImportFileError, match=r"contains no result files \(small/10_runs"):
        import_official_results(tmp_path / "results" / "math" / "addition", study, "f", root, "numeric")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "traces.jsonl").write_text("{}")
    with pytest.raises(ImportFileError, match=r"and no logs; if traces.jsonl contains traces, pass that file"):
        import_official_results(tmp_path / "plain", study, "f", root, "numeric")


# ---- verdicts and attempts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [
        ([], []),
        ([1, 0, True, False, 1.0, 0.0, "C", "I"], [True, False, True, False, True, False, True, False]),
        ([0.0, 0.5, 1.0], [None, None, None]),
        ([0.0, "P"], [None, None]),
        (["C", "N"], [None, None]),
        ([0, 2], [None, None]),
        ([1.0, None, float("nan")], [True, None, None]),
        ([{"a": 1}, 1], [None, None]),
        ([[1], 1], [None, None]),
    ],
)
def test_verdicts_are_those_of_a_scorer_that_says_right_or_wrong(values, verdicts):
    scorer = Scorer("match")
    for value in values:
        scorer.add(value)
    assert [scorer.verdict(value) for value in values] == verdicts
    assert (scorer.warning is None) == (scorer.other is None)


def test_a_zero_of_a_scorer_with_partial_credit_is_no_verdict(runs, root):
    path = _samples(runs, "small")
    _change_all(path, lambda number, record: record | {"exact_match": (0.0, 0.0, 0.5, 0.5)[number % 4]})
    outcome = _import(path, root)
    assert _traces(root, "smaller")["recorded_correct"].to_list() == [None] * 4
    assert any("scorer exact_match gives values such as 0.5" in remark for remark in outcome.remarks)
    assert outcome.facts == []


class _Log:
    """A log with a header only."""

    facts = warnings = ()

    def __init__(self, path, run, order, status=None):
        self.header = LogHeader(path, "sums", ("small",), run, order, status)


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        ([None], 0),
        (["error", None], 1),
        ([None, "cancelled"], 0),
        (["error", "started"], 1),
        ([None, None], 1),
        ([None, "error", None, "cancelled"], 2),
    ],
)
def test_of_attempts_at_a_run_the_last_that_ended_well_counts(tmp_path, statuses, chosen):
    paths = [tmp_path / f"{number}.eval" for number in range(len(statuses))]
    for number, path in enumerate(paths):
        path.write_text(f"{number}")
    logs = iter(
        _Log(path, "run", str(number), status)
        for number, (path, status) in enumerate(zip(paths, statuses, strict=True))
    )
    folder_logs = find_logs(tmp_path)
    folder_logs = type(folder_logs)(
        folder_logs.source_format, folder_logs.paths, lambda _: next(logs), folder_logs.task_in_name
    )
    remarks = []
    (kept,) = choose_logs(folder_logs, tmp_path, "sums", remarks)
    assert kept.header.path == paths[chosen]
    left = [path.name for path in paths if path != paths[chosen]]
    assert remarks == ([f"skipped {len(left)} logs of runs that were retried: {', '.join(left)}"] if left else [])


def test_names_of_inspect_logs():
    path = Path("2026-11-21T12-16-46-00-00_sums_QpzF4k.json")
    assert is_inspect_name(path)
    assert inspect_task(path) == "sums"
    assert is_inspect_name(Path("any.eval"))
    assert inspect_task(Path("any.eval")) is None
    assert not is_inspect_name(Path("results.json"))


def noting(remarks):
    """Keep the remarks of an import; see ``BeforeStoring``."""
    return lambda outcome, _files: remarks.extend(outcome.remarks)
