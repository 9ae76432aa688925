"""Compare two logs: files written, findings, repetition, and errors."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import advcluster_dagster
from advcluster_dagster.api.comparison import Comparison, compare
from advcluster_dagster.api.comparison_study import CompareError
from advcluster_dagster.api.judges import JudgeError
from advcluster_dagster.api.studies import open_study
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.study.study import StudyError
from tests.studies import _question, _response, ledger_rows, write_lines

N, N_WRONG = 12, 5


def records(model: str, n_wrong: int, n_questions: int = N, prefix: str = "") -> list[dict[str, Any]]:
    """One row per question, both trials in a list, with unusual field names."""
    return [
        {
            "id": f"{prefix}{question['question_id']}",
            "problem": question["question"],
            "gold": question["answer"],
            "generator": model,
            "outputs": [_response("sums", number, trial, number < n_wrong) for trial in range(2)],
        }
        for number in range(n_questions)
        for question in [_question("sums", number)]
    ]


def write(path: Path, rows: Sequence[dict[str, Any]], suffix: str = ".jsonl") -> Path:
    path = path.with_suffix(suffix)
    if suffix == ".json":
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
    elif suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        write_lines(path, rows)
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("logs")
    return write(folder / "large", records("org/large", 0)), write(folder / "small", records("org/small", N_WRONG))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def compared(logs: tuple[Path, Path], home: Path) -> Comparison:
    return compare(*logs, home=home)


def test_public_names_are_few() -> None:
    assert dir(advcluster_dagster) == advcluster_dagster.__all__ == [
        "AdvClusterError", "Cluster", "CompareError", "Comparison", "Pair", "RunFailedError", "Study", "compare",
        "open_study",
    ]  # fmt: skip
    assert all(getattr(advcluster_dagster, name).__doc__ for name in advcluster_dagster.__all__)
    with pytest.raises(AttributeError, match="no attribute 'comparee'"):
        _ = advcluster_dagster.comparee  # type: ignore[attr-defined]


def test_accuracies_and_kept_questions_are_said(compared: Comparison) -> None:
    (whole,) = compared.differences.filter(level="family").iter_rows(named=True)
    # Every trial of the larger model is right; the smaller one is wrong on 5 of 12 questions, in both trials.
    assert (whole["larger_mean"], whole["difference"]) == (1.0, pytest.approx(5 / 12))
    assert compared.kept.filter(domain="all")["n_kept"].item() == N_WRONG
    assert str(compared).startswith(
        "org/large answers 100.0 % correctly, org/small 58.3 %: a difference of +41.7 points"
    )
    assert "5 of 12 questions show an observed gap of at least 0.6" in str(compared)
    assert compared.lines[-1].startswith("Add --judge")
    assert not compared.has_judge
    assert compared._repr_html_().count("<li>") == 3


def test_the_study_is_like_any_other(compared: Comparison, home: Path) -> None:
    study = open_study("large-vs-small-questions", home)
    assert study.settings.trials == 2
    assert study.settings.families["models"].larger.model == "org/large"
    assert study.report is not None
    # No stand-in was used.
    assert "by the embedded analyst, a" not in study.report.read_text(encoding="utf-8")
    assert study.table("benchmark_questions")["answer_type"].unique().to_list() == ["numeric"]
    states = study.status()
    assert set(states.filter(step="gap_tests")["state"]) == {"fresh"}
    assert set(states.filter(step="extracted_advantages")["state"]) == {"missing"}
    assert study.query("select count(*) as n from graded_trials")["n"].item() == 2 * 2 * N
    with pytest.raises(KeyError, match="'graded' is not a table; tables: benchmark_questions"):
        study.table("graded")


def test_fields_and_guesses_are_told(compared: Comparison) -> None:
    fields = "question_id = id, question = problem, answer = gold, response = outputs, model = generator"
    assert f"Fields of large.jsonl: {fields}; gold answers look numeric." in compared.notes


def test_the_same_again_runs_and_asks_nothing(compared: Comparison, logs: tuple[Path, Path], home: Path) -> None:
    before = (home / "studies" / f"{compared.study.name}.yaml").stat().st_mtime_ns
    again = compare(*logs, home=home)
    assert (again.lines, again.notes) == (compared.lines, ())
    assert (home / "studies" / f"{compared.study.name}.yaml").stat().st_mtime_ns == before


def test_other_logs_under_a_used_name_are_refused(
    compared: Comparison, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    other = write(tmp_path / "small", records("org/small", N_WRONG + 1))
    home = compared.study._home.root
    with pytest.raises(StudyError, match="large-vs-small-questions exists with other smaller; choose"):
        compare(logs[0], other, home=home)
    (home / "studies" / "mine.yaml").write_text("study: mine\n")
    with pytest.raises(StudyError, match="study mine exists with another origin"):
        compare(*logs, home=home, name="mine")
    (home / "studies" / "mine.yaml").unlink()


@pytest.mark.integration
def test_a_judge_adds_clusters_and_first_errors_and_asks_once(logs: tuple[Path, Path], tmp_path: Path) -> None:
    compare(*logs, home=tmp_path)
    judged = compare(*logs, home=tmp_path, judge="embedded")
    study = judged.study
    assert judged.has_judge
    clusters = study.taxonomy("models")
    assert sum(cluster.size for cluster in clusters) == study.table("taxonomy_assignments").height > 0
    pairs = list(study.pairs("models"))
    assert len(pairs) == study.table("trace_pairs").height == 2 * N_WRONG
    assert all(pair.advantages and "<mark>" in pair._repr_html_() for pair in pairs)
    assert set(study.figures("models")) == {"accuracy", "pass_rates", "sweep", "heatmap", "depths"}
    rows = ledger_rows(study._home)
    assert compare(*logs, home=tmp_path, judge="embedded").lines == judged.lines
    assert ledger_rows(study._home) == rows


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
def test_other_formats_hold_the_same(compared: Comparison, tmp_path: Path, suffix: str) -> None:
    paths = []
    for model, n_wrong in (("org/large", 0), ("org/small", N_WRONG)):
        path = (tmp_path / model.rpartition("/")[2]).with_suffix(suffix)
        if suffix == ".csv":  # a row a trial
            rows = [{**row, "outputs": text} for row in records(model, n_wrong) for text in row["outputs"]]
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
        else:
            write(path, records(model, n_wrong), suffix)
        paths.append(path)
    assert compare(*paths, home=tmp_path / "home").lines == compared.lines


@pytest.mark.integration
def test_answers_in_a_json_field_are_located_without_being_told(tmp_path: Path) -> None:
    paths = []
    for model, n_wrong in (("org/large", 0), ("org/small", N_WRONG)):
        rows = records(model, n_wrong)
        for number, row in enumerate(rows):
            answer = row["gold"] if number >= n_wrong else "1"
            row["outputs"] = json.dumps({"reasoning": "It follows.", "answer": answer})
        paths.append(write(tmp_path / model.rpartition("/")[2], rows))
    comparison = compare(*paths, home=tmp_path / "home")
    assert comparison.study.settings.benchmark("questions").answer_field == "answer"
    assert comparison.differences.filter(level="family")["difference"].item() == pytest.approx(5 / 12)


def without(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


Rows = Callable[[], list[dict[str, Any]]]
LARGE: Rows = lambda: records("org/large", 0)  # noqa: E731
SMALL: Rows = lambda: records("org/small", N_WRONG)  # noqa: E731


@pytest.mark.parametrize(
    ("larger", "smaller", "options", "error", "line"),
    [
        (LARGE, LARGE, {}, ImportFileError, "have the same content; allowed: logs of two models"),
        (LARGE, lambda: records("org/large", 3), {}, ImportFileError, "are both of model 'org/large'"),
        (LARGE, lambda: records("org/small", 3, prefix="x-"), {}, CompareError, "share no question"),
        (lambda: without(LARGE(), "gold"), SMALL, {}, ImportFileError, "'answer'.* is missing"),
        (lambda: without(LARGE(), "outputs"), SMALL, {}, ImportFileError, "no field for response; map it with --map"),
        (lambda: without(LARGE(), "id", "problem"), SMALL, {}, ImportFileError, "no id and no text of the question"),
        (LARGE, SMALL, {"fields": ["response=reply"]}, ImportFileError, "--map response=reply, but there is no such"),
        (LARGE, SMALL, {"fields": ["respons=outputs"]}, ImportFileError, "column 'respons'; allowed: question_id, "),
        (LARGE, SMALL, {"fields": ["response"]}, ImportFileError, "allowed: column=field"),
        (LARGE, SMALL, {"fields": ["answer=outputs", "response=outputs"]}, ImportFileError, "is a list; allowed: text"),
        (LARGE, SMALL, {"answer_type": "number"}, ImportFileError, "answer type 'number'; allowed: numeric, "),
        (LARGE, SMALL, {"answer_marker": "Solution:"}, CompareError, "only 0 of 24 sampled responses hold an answer"),
        (LARGE, SMALL, {"judge": "m@nowhere"}, JudgeError, "judge 'm@nowhere'; allowed: embedded, MODEL"),
        (LARGE, SMALL, {"judge": "embeded"}, JudgeError, "judge 'embeded' is not a model; did you mean embedded?"),
        (LARGE, SMALL, {"judge": "gpt-5"}, JudgeError, "judge 'gpt-5' is a model of OpenAI, but OPENAI_API_KEY is"),
        (LARGE, lambda: records("another", 0)[::-1], {}, CompareError, "are equal; allowed: logs of two models"),
        (lambda: [], SMALL, {}, ImportFileError, "the file is empty"),
        (lambda: [*LARGE(), *SMALL()], SMALL, {}, ImportFileError, "allowed: one model per file"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_one_line_and_leaves_nothing(
    tmp_path: Path, larger: Rows, smaller: Rows, options: dict[str, Any], error: type[Exception], line: str
) -> None:
    paths = write(tmp_path / "a", larger()), write(tmp_path / "b", smaller())
    with pytest.raises(error, match=line) as caught:
        compare(*paths, home=tmp_path / "home", **options)
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "home").glob("studies/*.yaml")) == []


@pytest.mark.integration
def test_files_that_name_no_model_are_named_by_where_they_lie(tmp_path: Path) -> None:
    paths = []
    for folder, n_wrong in (("large", 0), ("small", N_WRONG)):
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "out", without(records("m", n_wrong), "generator")))
    comparison = compare(*paths, home=tmp_path / "home")
    assert (comparison.larger, comparison.smaller) == ("large/out", "small/out")
    assert comparison.differences.filter(level="family")["difference"].item() == pytest.approx(5 / 12)


@pytest.mark.integration
def test_accuracies_are_told_before_a_judge_reads_or_a_report_is_written(
    logs: tuple[Path, Path], tmp_path: Path
) -> None:
    events: list[tuple[str, bool]] = []

    def on_finding(line: str) -> None:
        events.append((line, any(tmp_path.rglob("report.html"))))

    judged = compare(*logs, home=tmp_path, judge="embedded", on_finding=on_finding)
    assert [line for line, _ in events] == list(judged.lines)
    before = [line for line, has_report in events if not has_report]
    assert len(before) == 2
    assert before[0].startswith("org/large answers 100.0 % correctly")


def test_one_model_in_two_ways_goes_by_labels(tmp_path: Path) -> None:
    paths = write(tmp_path / "a", records("org/m", 0)), write(tmp_path / "b", records("org/m", N_WRONG))
    labels = ("with thinking", "without thinking")
    result = compare(*paths, home=tmp_path / "home", labels=labels)
    assert result.study.name == "with-thinking-vs-without-thinking-questions"
    assert (result.larger, result.smaller) == labels
    assert str(result).startswith("with thinking answers 100.0 % correctly, without thinking 58.3 %")
    assert result.differences.filter(level="family")["difference"].item() == pytest.approx(5 / 12)
    family = result.study.settings.families["models"]
    assert (family.larger.model, family.smaller.model) == ("org/m", "org/m")
    with pytest.raises(StudyError, match="exists with other labels"):
        compare(*paths, home=tmp_path / "home", labels=("one", "two"), name=result.study.name)


def test_without_a_judge_no_explorer_is_written(compared: Comparison) -> None:
    assert compared.study.report is not None
    assert compared.study.explorer is None
    assert "explorer.html" not in compared.study.report.read_text(encoding="utf-8")
