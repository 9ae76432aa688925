"""Import logs written by Inspect itself, and let Inspect read exported logs."""

import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS, LARGER_TRACES
from advcluster_dagster.exports.inspect_logs import ExportError, export_inspect_logs
from advcluster_dagster.exports.inspect_samples import SCORER
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs, import_logs
from advcluster_dagster.sources.imports.provenance import ImportOutcome
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import import_provenance, scan_imported_traces
from advcluster_dagster.sources.imports.staging import questions_file
from advcluster_dagster.study.study import Study
from tests.studies import GIVEN, SmallHome, write_lines, write_study

pytestmark = pytest.mark.integration
inspect_ai = pytest.importorskip("inspect_ai", reason="inspect-ai is not installed (extra inspect)")

from inspect_ai.dataset import Sample  # noqa: E402
from inspect_ai.log import read_eval_log  # noqa: E402
from inspect_ai.scorer import Score, Scorer, Target, choice, mean, scorer  # noqa: E402
from inspect_ai.solver import TaskState, multiple_choice  # noqa: E402

from tests.integration.inspect_runs import failing_on, run, said  # noqa: E402

IMPORTED = {"provider": "imported"}
STUDY = Study.model_validate(
    {
        "study": "logged",
        "trials": 2,
        "families": {
            "f": {
                "larger": {"model": "org/large", "aliases": ["mockllm/org/large-2"], **IMPORTED},
                "smaller": {"model": "small", **IMPORTED},
            }
        },
        "domains": {"math": ["sums", "options"]},
    }
)
SUMS = [Sample(input="What is 2+3?", target="5"), Sample(input="What is 4*4?", target="16")]
RIGHT = {"2+3": [said("So \\boxed{5}", thinking="2+3 is 5"), said("\\boxed{5}")], "4*4": [said("\\boxed{16}")]}
WRONG = {"2+3": [said("\\boxed{6}"), said("It goes on and", stop_reason="max_tokens")], "4*4": [said("\\boxed{16}")]}


def _import(path: Path, root: Path, benchmark: str = "sums", answer_type: str | None = "numeric") -> ImportOutcome:
    logs = find_logs(path)
    assert logs is not None
    return import_logs(path, logs, STUDY, "f", "math", benchmark, root, answer_type)


def _traces(root: Path, role: str) -> pl.DataFrame:
    return scan_imported_traces(root, STUDY, "f", "math", role).collect()


def _questions(root: Path, benchmark: str = "sums") -> pl.DataFrame:
    return pl.read_parquet(questions_file(root, "logged", "math", benchmark))


@pytest.mark.parametrize("log_format", ["eval", "json"])
def test_a_run_of_two_epochs_gives_questions_traces_and_verdicts(tmp_path, log_format):
    logs, root = tmp_path / "logs", tmp_path / "imports"
    run(logs, "org/large", SUMS, RIGHT, epochs=2, log_format=log_format)
    run(logs, "small", SUMS, WRONG, epochs=2, log_format=log_format, solver=failing_on("What is 4*4?", 2))
    outcome = _import(logs, root)

    traces, questions = outcome.summaries
    assert (traces.source_format, traces.n_rows_by_role) == ("inspect_logs", {"larger": 4, "smaller": 4})
    assert outcome.remarks == ["1 trials failed during the run and have no response"]
    table = _questions(root)
    assert table.select("question_id", "question", "prompt", "answer", "answer_type", "source").rows() == [
        ("sums-1", "What is 2+3?", "What is 2+3?", "5", "numeric", "Inspect, sums"),
        ("sums-2", "What is 4*4?", "What is 4*4?", "16", "numeric", "Inspect, sums"),
    ]
    assert BENCHMARK_QUESTIONS.faults(BENCHMARK_QUESTIONS.conform(table.lazy(), {"domain": "math"})) == []
    larger = _traces(root, "larger").sort("question_id", "trial")
    assert larger.select("question_id", "trial", "model", "response", "finish_reason", "recorded_correct").rows() == [
        # `match` expects the target at the end of the answer, ignoring punctuation such as the brace there.
        ("sums-1", 0, "org/large", "<think>2+3 is 5</think>\nSo \\boxed{5}", "stop", True),
        ("sums-1", 1, "org/large", "\\boxed{5}", "stop", True),
        ("sums-2", 0, "org/large", "\\boxed{16}", "stop", True),
        ("sums-2", 1, "org/large", "\\boxed{16}", "stop", True),
    ]
    # Of 16 input tokens, 5 came from a cache.
    assert larger.select("prompt_tokens", "completion_tokens", "engine").unique().rows() == [
        (16, 7, "mockllm/org/large")
    ]
    assert json.loads(larger["sampling"][0]) == {"temperature": 0.5, "seed": 7}
    partition = {"family": "f", "domain": "math"}
    assert LARGER_TRACES.faults(LARGER_TRACES.conform(larger.lazy(), partition)) == []
    smaller = _traces(root, "smaller").sort("question_id", "trial")
    assert smaller.select("question_id", "trial", "response", "finish_reason", "recorded_correct").rows() == [
        ("sums-1", 0, "\\boxed{6}", "stop", False),
        ("sums-1", 1, "It goes on and", "length", False),
        ("sums-2", 0, "\\boxed{16}", "stop", True),
        ("sums-2", 1, None, "failed: RuntimeError('the server\\nwent away')", None),
    ]
    assert import_provenance(root, STUDY, "math", "f", "larger") == [traces.as_dict()]
    assert questions.n_rows == 2


def test_runs_of_one_model_follow_each_other_as_trials(tmp_path):
    for text in ("first", "second"):
        run(tmp_path / "logs", "org/large-2", SUMS[:1], {"2+3": [said(text)]})
    _import(tmp_path / "logs", tmp_path / "imports")
    traces = _traces(tmp_path / "imports", "larger")
    assert traces["trial"].to_list() == [0, 1]
    # Both may have started within the same second, Inspect's resolution; then their names decide.
    assert set(traces["response"]) == {"first", "second"}


def test_more_epochs_than_trials_are_refused(tmp_path):
    log = run(tmp_path, "small", SUMS[:1], WRONG, epochs=3)
    with pytest.raises(ImportFileError, match=r"sample 1, epoch 3, field 'trial': 2; allowed: 0 to 1"):
        _import(log, tmp_path / "imports")


def test_choices_bring_their_answer_type_and_the_prompt_that_lists_them(tmp_path):
    sample = Sample(id="q", input="Which is even?", choices=["1", "2", "3"], target="B")
    log = run(
        tmp_path, "small", [sample], {"even": [said("ANSWER: B")]}, name="options", solver=multiple_choice(),
        scorer=choice(),
    )  # fmt: skip
    _import(log, tmp_path / "imports", "options", answer_type=None)
    (row,) = _questions(tmp_path / "imports", "options").to_dicts()
    assert (row["question_id"], row["answer"], row["answer_type"]) == ("q", "B", "choice")
    assert json.loads(row["answer_context"]) == {"options": ["1", "2", "3"]}
    assert row["question"] == "Which is even?"
    assert "A) 1" in row["prompt"]
    assert _traces(tmp_path / "imports", "smaller")["recorded_correct"].to_list() == [True]


def test_questions_that_were_imported_stay_and_must_be_the_logs(tmp_path):
    root, file = tmp_path / "imports", tmp_path / "questions.jsonl"
    question = {"question_id": "1", "question": "What is 2 + 3?", "answer": "5.0", "answer_type": "numeric"}
    write_lines(file, [question])
    import_questions(file, STUDY, "math", "sums", root)
    _import(run(tmp_path, "small", SUMS[:1], WRONG), root)
    assert _questions(root)["question"].to_list() == ["What is 2 + 3?"]
    assert _traces(root, "smaller")["question_id"].to_list() == ["1"]
    with pytest.raises(ImportFileError, match="sample 2, epoch 1, field 'question_id': 'sums-2' is not a question"):
        _import(run(tmp_path, "small", SUMS, WRONG), root)
    for sample, message in (
        (Sample(input="What is 2+3?", target="6"), "its gold answer is '6', imported: '5.0'; 1 of 1"),
        (
            Sample(input="What is 2+3 in binary?", target="5"),
            "its text is 'What is 2+3 in binary?', imported: 'What is",
        ),
    ):
        with pytest.raises(
            ImportFileError, match=f"sample 1, epoch 1: question '1' is not the one .*{re.escape(message)}"
        ):
            _import(run(tmp_path, "small", [sample], WRONG), root)


def test_what_a_log_does_not_say_is_asked_for(tmp_path):
    with pytest.raises(ImportFileError, match="does not specify how answers are compared; pass --answer-type"):
        _import(run(tmp_path, "small", SUMS, WRONG), tmp_path / "imports", answer_type=None)
    with pytest.raises(ImportFileError, match=r"model: 'mockllm/tiny'; allowed: org/large \(larger\), .* as an alias"):
        _import(run(tmp_path, "tiny", SUMS, WRONG), tmp_path / "imports")


def test_of_several_tasks_the_one_named_as_the_benchmark_is_taken(tmp_path):
    logs = tmp_path / "logs"
    run(logs, "small", SUMS, WRONG)
    run(logs, "small", SUMS, WRONG, name="other")
    (remark,) = _import(logs, tmp_path / "imports").remarks
    assert re.fullmatch(r"skipped 1 logs of other tasks than sums: \S+_other_\w+\.eval", remark)
    with pytest.raises(ImportFileError, match="contains logs of the tasks other, sums; allowed: logs of one task"):
        _import(logs, tmp_path / "imports", "options")


def test_a_run_that_was_tried_again_counts_once(tmp_path):
    log = run(tmp_path / "logs", "small", SUMS, WRONG, solver=failing_on("What is 4*4?", 1))
    content = read_eval_log(str(log))
    content.status = "error"
    inspect_ai.log.write_eval_log(content, str(log))
    # The same task_id under another name, as a retry writes it.
    again = log.with_name("2099-01-01T00-00-00_sums_again.eval")
    content.status, content.eval.created = "success", "2099-01-01T00:00:00+00:00"
    inspect_ai.log.write_eval_log(content, str(again))
    outcome = _import(tmp_path / "logs", tmp_path / "imports")
    assert f"skipped 1 logs of runs that were retried: {log.name}" in outcome.remarks
    assert outcome.summaries[0].n_rows == 2


def test_a_log_that_ended_early_says_so_and_a_broken_one_is_named(tmp_path):
    log = run(tmp_path, "small", SUMS, WRONG)
    content = read_eval_log(str(log))
    content.status, content.samples = "cancelled", content.samples[:1]
    inspect_ai.log.write_eval_log(content, str(log))
    outcome = _import(log, tmp_path / "imports")
    assert outcome.remarks == [f"{log.name} ended with status cancelled; its trials are imported"]
    assert outcome.summaries[0].n_rows == 1
    log.write_bytes(log.read_bytes()[:2000])
    with pytest.raises(ImportFileError, match=f"^{re.escape(str(log))}: not a readable Inspect log: "):
        _import(log, tmp_path / "imports")


def test_permuted_options_are_refused(tmp_path):
    root = tmp_path / "imports"
    for model, choices in (("org/large", ["1", "2", "3"]), ("small", ["2", "1", "3"])):
        sample = Sample(id="q", input="Which is even?", choices=choices, target="B")
        log = run(
            tmp_path / model, model, [sample], {"even": [said("ANSWER: B")]}, name="options", solver=multiple_choice(),
            scorer=choice(),
        )  # fmt: skip
        if model == "org/large":
            _import(log, root, "options", answer_type=None)
    before = _questions(root, "options")
    with pytest.raises(
        ImportFileError, match=r"its options are 'A: 2, B: 1, C: 3', imported: 'A: 1, B: 2, C: 3'; 1 of 1"
    ):
        _import(log, root, "options", answer_type=None)
    assert _questions(root, "options").equals(before)
    with pytest.raises(ImportFileError, match="its options are"):
        _import(tmp_path, tmp_path / "new imports", "options", answer_type=None)


def test_a_log_whose_questions_have_other_ids_is_refused(tmp_path):
    root = tmp_path / "imports"
    _import(run(tmp_path / "a", "org/large", [Sample(id="x", input="What is 2+3?", target="5")], RIGHT), root)
    log = run(tmp_path / "b", "small", [Sample(id="y", input="What is 4*4?", target="16")], WRONG)
    with pytest.raises(
        ImportFileError, match=r"none of the 1 questions of model small \('y', ...\) is among the 1 of earlier"
    ):
        _import(log, root)


@scorer(metrics=[mean()])
def _partial() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=0.5 if "4*4" in state.input_text else 0.0)

    return score


@pytest.mark.parametrize("log_format", ["eval", "json"])
def test_a_zero_of_a_scorer_with_partial_credit_is_no_verdict(tmp_path, log_format):
    log = run(tmp_path, "small", SUMS, WRONG, scorer=_partial(), log_format=log_format)
    outcome = _import(log, tmp_path / "imports")
    assert _traces(tmp_path / "imports", "smaller")["recorded_correct"].to_list() == [None, None]
    assert outcome.remarks == [
        f"{log.name}: scorer _partial gives values such as 0.5, which are neither right nor wrong; recorded_correct is "
        "left empty"
    ]
    assert outcome.facts == []
    outcome = _import(run(tmp_path / "b", "small", SUMS, WRONG, log_format=log_format), tmp_path / "imports")
    assert outcome.facts == ["recorded verdicts are those of scorer match"]


def test_copies_and_repeated_runs_are_no_trials_of_their_own(tmp_path):
    log = run(tmp_path / "logs", "small", SUMS, WRONG)
    copy = tmp_path / "logs" / "copy" / log.name
    copy.parent.mkdir()
    copy.write_bytes(log.read_bytes())
    again = run(tmp_path / "logs", "small", SUMS, WRONG)
    remarks = " ".join(_import(tmp_path / "logs", tmp_path / "imports").remarks)
    assert "a copy of" in remarks
    assert again.name in remarks
    assert "in every response, so it is not another trial" in remarks
    assert _traces(tmp_path / "imports", "smaller")["trial"].to_list() == [0, 0]
    run(tmp_path / "logs", "small", SUMS, {**WRONG, "4*4": [said("\\boxed{17}")]})
    _import(tmp_path / "logs", tmp_path / "imports")
    assert sorted(_traces(tmp_path / "imports", "smaller")["trial"]) == [0, 0, 1, 1]


@pytest.mark.parametrize("fault", ["empty", "pointer", "cut off", "no log"])
def test_a_broken_log_beside_good_ones_stops_the_import(tmp_path, fault):
    logs = tmp_path / "logs"
    run(logs, "org/large", SUMS, RIGHT)
    log = run(logs, "small", SUMS, WRONG)
    content = {
        "empty": b"", "pointer": b"version https://git-lfs.github.com/spec/v1\n", "cut off": log.read_bytes()[:2000],
        "no log": b"PK\x03\x04 and so on",
    }  # fmt: skip
    log.write_bytes(content[fault])
    with pytest.raises(ImportFileError) as error:
        _import(logs, tmp_path / "imports")
    assert str(error.value).startswith(str(log))
    assert "nothing was imported" in str(error.value)
    assert not list((tmp_path / "imports").rglob("*.parquet"))


def test_a_log_without_samples_stops_unless_its_model_has_another(tmp_path):
    logs = tmp_path / "logs"
    log = run(logs, "small", SUMS, WRONG)
    content = read_eval_log(str(log))
    content.status, content.samples = "started", []
    content.eval.task_id = "another"
    begun = log.with_name("2099-01-01T00-00-00_sums_begun.eval")
    inspect_ai.log.write_eval_log(content, str(begun))
    remarks = _import(logs, tmp_path / "imports").remarks
    assert f"{begun.name} ended with status started; its trials are imported" in remarks
    assert f"{begun.name} contains no trials" in remarks
    log.unlink()
    with pytest.raises(ImportFileError, match=r"contains no trials \(status started\), so the smaller model"):
        _import(logs, tmp_path / "new imports")


def _export(given: SmallHome, folder: Path) -> list[Path]:
    return [log.path for log in export_inspect_logs(given.home.lake, given.study, "f", folder)]


def test_exported_logs_are_logs_for_inspect(given, tmp_path):
    written = _export(given, tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in written] == [
        f"f/{domain}/{benchmark}_{role}.eval"
        for domain, benchmark in (("sums", "additions"), ("products", "doublings"))
        for role in ("larger", "smaller")
    ]
    log = read_eval_log(str(written[1]))
    assert (log.status, log.eval.task, log.eval.model, log.eval.config.epochs) == ("success", "additions", "f-small", 2)
    # Of six questions, the smaller model is wrong on four in both trials.
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(2 / 6)
    samples = sorted(log.samples, key=lambda sample: (sample.id, sample.epoch))
    assert [(sample.id, sample.epoch) for sample in samples][:3] == [("sums-0", 1), ("sums-0", 2), ("sums-1", 1)]
    graded = given.table("graded_trials").filter(role="smaller", domain="sums").sort("question_id", "trial")
    scores = [sample.scores[SCORER] for sample in samples]
    assert [score.value == "C" for score in scores] == graded["is_correct"].to_list()
    assert [score.answer for score in scores] == graded["prediction"].to_list()
    assert [score.metadata["verdict"] for score in scores] == graded["verdict"].to_list()
    traces = given.table("smaller_traces").filter(domain="sums").sort("question_id", "trial")
    assert [sample.output.completion for sample in samples] == traces["response"].to_list()
    # A second export writes the same files with the same ids, so that runs do not appear twice.
    assert _export(given, tmp_path / "out") == written
    again = read_eval_log(str(written[1]))
    assert again.eval == log.eval
    assert {sample.uuid for sample in again.samples} == {sample.uuid for sample in log.samples}
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == sorted(path.name for path in written)


TRICKY = {
    "thinking": "<think>six\n</think>\nSo \\boxed{6}",
    "unended": "<think>and so on \\boxed{5}",
    "twice": "<think>a</think>\n<think>b</think> \\boxed{6}",
    "no line": "<think>a</think>\\boxed{6}",
    "cut off": "\\boxed{5} and",
    "no answer": "none",
    "empty": "",
    "blanks": "  \\boxed{5}\n\n",
    "failed": None,
}


def test_a_study_that_went_out_and_came_back_is_graded_alike(tmp_path):
    content = {**GIVEN, "study": "there", "domains": {"sums": ["additions"]}}
    there = write_study(tmp_path / "there", content)
    root = there.home.root
    questions = [
        {"question_id": f"q/{name}", "question": f"{name}?", "prompt": f"Say {name}!", "answer": "5",
         "answer_type": "numeric", "answer_context": {"tolerance": "1"}}
        for name in TRICKY
    ]  # fmt: skip
    write_lines(root / "questions.jsonl", questions)
    import_questions(root / "questions.jsonl", there.study, "sums", "additions", there.home.imports)
    traces = [
        {"question_id": f"q/{name}", "model": model, "trial": trial, "response": response,
         "finish_reason": "length" if name == "cut off" else None,
         **({"prompt_tokens": 3, "completion_tokens": 40} if trial else {})}
        for name, response in TRICKY.items()
        for model in ("f-large", "f-small")
        for trial in range(2)
        if (name, model, trial) != ("empty", "f-small", 1)
    ]  # fmt: skip
    write_lines(root / "traces.jsonl", traces)
    from advcluster_dagster.sources.imports.traces import import_traces

    import_traces(root / "traces.jsonl", there.study, "f", "sums", "additions", there.home.imports)
    graded = ("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials")
    there.run(graded)
    assert len(_export(there, tmp_path / "logs")) == 2

    back = write_study(tmp_path / "back", {**content, "study": "back"})
    logs = find_logs(tmp_path / "logs")
    outcome = import_logs(tmp_path / "logs", logs, back.study, "f", "sums", "additions", back.home.imports)
    # Both trials of the larger model are equal here; one of the smaller model's is missing.
    alike, failed = outcome.remarks
    assert alike.startswith("trials 0, 1 of the larger model f-large are equal in every response")
    assert failed == "4 trials failed during the run and have no response"
    back.run(graded)
    compared = ["question_id", "role", "trial", "prediction", "verdict", "is_correct", "grader"]
    assert back.table("graded_trials").select(compared).equals(there.table("graded_trials").select(compared))
    verdicts = {"correct", "truncated", "no_answer", "missing_response"}
    assert set(there.table("graded_trials")["verdict"]) == verdicts
    asked = ["question_id", "question", "prompt", "answer", "answer_type", "answer_context"]
    in_order = [home.table("benchmark_questions").select(asked).sort("question_id") for home in (there, back)]
    assert in_order[0].equals(in_order[1])
    for table in ("larger_traces", "smaller_traces"):
        columns = ["question_id", "trial", "response", "prompt_tokens", "completion_tokens"]
        ordered = [home.table(table).select(columns).sort("question_id", "trial") for home in (there, back)]
        assert ordered[0].equals(ordered[1])
    # The computed verdicts are now the recorded verdicts of the traces.
    recorded = back.table("smaller_traces").select("question_id", "trial", "recorded_correct")
    verdict = back.table("graded_trials").filter(role="smaller")
    joined = verdict.join(recorded, on=["question_id", "trial"])
    assert joined["is_correct"].equals(joined["recorded_correct"], null_equal=True)


def test_what_is_not_graded_or_not_known_is_not_exported(given, tmp_path):
    home = given.home
    for family, domain, message in (
        ("g", None, "study given has no family 'g'; allowed: f"),
        ("f", "art", "study given has no domain 'art'; allowed: sums, products, later"),
        ("f", "later", "no traces of family f in domain later are graded yet; run it first: advcluster run given"),
    ):
        with pytest.raises(ExportError, match=re.escape(message)):
            list(export_inspect_logs(home.lake, given.study, family, tmp_path, domain))


def test_grading_older_than_its_traces_is_refused(given, tmp_path):
    from tests.studies import bring_traces

    bring_traces(given, "sums", n_kept=3)
    given.run(("larger_traces", "smaller_traces"))
    with pytest.raises(ExportError, match="smaller_traces of f/sums changed after it was graded"):
        _export(given, tmp_path)


@contextmanager
def _viewer(folder: Path) -> Iterator[str]:
    """Inspect View on a folder of logs; yields its address once it responds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-c", "from inspect_ai._cli.main import main; main()"]
    command = [*program, "view", "start", "--log-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "Running on" in line or "running on" in line:
                    break
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_inspect_view_lists_and_serves_the_exported_logs(given, tmp_path):
    written = _export(given, tmp_path / "out")
    with _viewer(tmp_path / "out") as address:
        with urllib.request.urlopen(f"{address}/api/logs") as reply:
            listed = json.load(reply)
        names = sorted(entry["name"].rpartition("/")[2] for entry in listed["files"])
        assert names == sorted(path.name for path in written)
        with urllib.request.urlopen(f"{address}/api/logs/{listed['files'][0]['name']}?header-only=0") as reply:
            header = json.load(reply)
    assert header["eval"]["metadata"]["advcluster"]["study"] == "given"
