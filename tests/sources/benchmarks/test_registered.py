"""Each registered benchmark with a small file in its data set's schema."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS
from advcluster_dagster.sources.benchmarks.loading import Loaded, load_benchmark
from advcluster_dagster.sources.benchmarks.registry import REGISTERED, by_name
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.benchmarks import Benchmark
from tests.sources.benchmarks.small_sets import GPQA_AUTHORS, SMALL_SETS, write_rows


def load(home: Home, name: str, rows: list[Any] | None = None, domain: str | None = None, suffix: str = "") -> Loaded:
    assert name in SMALL_SETS, f"add a few rows of {name} to small_sets.py: (rows, suffix, domain)"
    small, kind, usual = SMALL_SETS[name]
    write_rows(home.root / f"{name}{suffix or kind}", small if rows is None else rows)
    settings = Benchmark(source="registered", file=f"{name}{suffix or kind}")
    return load_benchmark(home, REGISTERED[name], settings, domain or usual)


def question(loaded: Loaded, question_id: str) -> dict[str, Any]:
    row = loaded.questions.row(by_predicate=pl.col("question_id") == question_id, named=True)
    return {**row, "answer_context": json.loads(row["answer_context"] or "null")}


def test_every_registered_benchmark_has_a_small_set() -> None:
    assert SMALL_SETS.keys() == REGISTERED.keys()


@pytest.mark.parametrize("name", REGISTERED)
def test_questions_keep_the_contract(home: Home, name: str) -> None:
    loaded = load(home, name)
    rows = BENCHMARK_QUESTIONS.conform(loaded.questions.lazy(), {"domain": SMALL_SETS[name][2]})
    assert BENCHMARK_QUESTIONS.faults(rows) == []
    assert loaded.questions["question_id"].str.starts_with(f"{name}-").all()
    assert loaded.questions["source_revision"].str.starts_with("sha256:").all()
    assert [warning for warning in loaded.warnings if "left out" in warning] == []


@pytest.mark.parametrize("name", REGISTERED)
def test_a_revision_is_a_commit(name: str) -> None:
    assert len(bytes.fromhex(REGISTERED[name].revision)) == 20


def test_hmmt(home: Home) -> None:
    loaded = load(home, "hmmt-nov-2025")
    assert loaded.questions["question_id"].to_list() == ["hmmt-nov-2025-1", "hmmt-nov-2025-2"]
    assert loaded.warnings == ("benchmark hmmt-nov-2025 of domain math: questions found: 2, expected: 30",)
    second = question(loaded, "hmmt-nov-2025-2")
    assert (second["answer"], second["answer_type"], second["answer_context"]) == ("2\\sqrt{2}", "math", None)
    assert second["prompt"].startswith("Compute $\\sqrt{8}$.\n\n")
    assert "\\boxed{}" in second["prompt"]
    assert "2\\sqrt{2}" not in second["prompt"]


def test_omni_math_keeps_hard_problems_with_short_answers(home: Home) -> None:
    # Of four rows the second is below difficulty 7 and the third has 21 characters; ids count the rows of the file.
    assert load(home, "omni-math").questions["question_id"].to_list() == ["omni-math-0", "omni-math-3"]


def test_omni_math_reads_either_of_its_files(home: Home) -> None:
    lines, parquet = load(home, "omni-math"), load(home, "omni-math", suffix=".parquet")
    assert lines.questions.drop("source", "source_revision").equals(parquet.questions.drop("source", "source_revision"))


@pytest.mark.parametrize(
    ("domain", "ids"),
    [
        ("physics", ["jeebench-2016-paper-1-phy-1", "jeebench-2016-paper-1-phy-2"]),
        ("chemistry", ["jeebench-2016-paper-1-chem-19"]),
        ("math", ["jeebench-2016-paper-1-math-37"]),
    ],
)
def test_jeebench_by_domain(home: Home, domain: str, ids: list[str]) -> None:
    assert load(home, "jeebench", domain=domain).questions["question_id"].to_list() == ids


def test_jeebench_kinds(home: Home) -> None:
    options = {"options": {"A": "1", "B": "2", "C": "3", "D": "4"}}
    one = question(load(home, "jeebench"), "jeebench-2016-paper-1-phy-1")
    assert (one["answer"], one["answer_type"], one["answer_context"]) == ("B", "choice", options)
    assert "Exactly one option is right" in one["prompt"]
    several = question(load(home, "jeebench"), "jeebench-2016-paper-1-phy-2")
    assert (several["answer"], several["answer_type"], several["answer_context"]) == ("ABD", "choices", options)
    assert "One or more options are right" in several["prompt"]
    assert "ABD" not in several["prompt"]
    tolerance = {"tolerance": 0.01, "tolerance_kind": "absolute"}
    whole = question(load(home, "jeebench", domain="chemistry"), "jeebench-2016-paper-1-chem-19")
    assert (whole["answer"], whole["answer_type"], whole["answer_context"]) == ("9", "numeric", tolerance)
    assert "whole number" in whole["prompt"]
    real = question(load(home, "jeebench", domain="math"), "jeebench-2016-paper-1-math-37")
    assert (real["answer"], real["answer_type"], real["answer_context"]) == ("0.38", "numeric", tolerance)
    assert "two decimal places" in real["prompt"]
    assert "0.38" not in real["prompt"]


def test_olympiadbench(home: Home) -> None:
    loaded = load(home, "olympiadbench")
    assert loaded.questions["question_id"].to_list() == ["olympiadbench-10", "olympiadbench-12", "olympiadbench-13"]
    charge = question(loaded, "olympiadbench-10")
    assert (charge["answer"], charge["answer_type"]) == ("1.6e-19", "numeric")
    assert charge["answer_context"] == {"tolerance": 1e-20, "tolerance_kind": "absolute", "unit": "C"}
    assert "in the unit C" in charge["prompt"]
    assert "1.6e-19" not in charge["prompt"]
    speed = question(loaded, "olympiadbench-12")
    assert (speed["answer"], speed["answer_context"]) == ("3", None)
    assert speed["prompt"].startswith("On a slope.\n\nHow fast?")
    assert "unit" not in speed["prompt"]
    roots = question(loaded, "olympiadbench-13")
    assert (roots["answer"], roots["answer_type"]) == ("1,2", "math")
    assert roots["answer_context"] == {"tolerance": 0.1, "tolerance_kind": "absolute"}


def test_gpqa_copy_keeps_its_options(home: Home) -> None:
    loaded = load(home, "gpqa-diamond")
    assert loaded.questions["question_id"].to_list() == ["gpqa-diamond-1"]
    row = question(loaded, "gpqa-diamond-1")
    assert (row["answer"], row["answer_type"]) == ("B", "choice")
    assert row["answer_context"] == {"options": {"A": "10^-8 eV", "B": "two\nlines", "C": "c", "D": "d"}}
    assert row["question"] == "See (A) to (D) below.\nWhich?\n\n(A) 10^-8 eV\n(B) two\nlines\n(C) c\n(D) d"
    assert row["prompt"].startswith(row["question"])
    assert "\\boxed{B}" not in row["prompt"]
    assert load(home, "gpqa-diamond", domain="chemistry").questions["question_id"].to_list() == ["gpqa-diamond-2"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_gpqa_of_the_authors_gets_an_order_that_its_text_fixes(home: Home, suffix: str) -> None:
    loaded = load(home, "gpqa-diamond", GPQA_AUTHORS, suffix=suffix)
    turned = load(home, "gpqa-diamond", GPQA_AUTHORS[::-1], suffix=suffix)
    assert loaded.questions.height == 40
    assert set(loaded.questions["answer"]) == set("ABCD")
    columns = ["question_id", "prompt", "answer"]
    assert (
        loaded.questions.sort("question_id")
        .select(columns)
        .equals(turned.questions.sort("question_id").select(columns))
    )
    for question_id in loaded.questions["question_id"]:
        row = question(loaded, question_id)
        options = row["answer_context"]["options"]
        assert options[row["answer"]] == "right"
        assert sorted(options.values()) == ["right", "wrong 1", "wrong 2", "wrong 3"]


def test_cruxeval(home: Home) -> None:
    given, returned = load(home, "cruxeval-i"), load(home, "cruxeval-o")
    program = {"code": "def f(x):\n    return x + 1", "input": "41", "output": "42"}
    first = question(given, "cruxeval-i-sample_0")
    assert (first["answer"], first["answer_type"], first["answer_context"]) == ("f(41)", "python_input", program)
    assert "41" not in first["prompt"]
    assert "42" in first["prompt"]
    second = question(returned, "cruxeval-o-sample_0")
    assert (second["answer"], second["answer_type"], second["answer_context"]) == ("42", "python_output", program)
    assert "42" not in second["prompt"]
    assert "f(41)" in second["prompt"]
    assert "[ANSWER] and [/ANSWER]" in first["prompt"]
    assert "[ANSWER] and [/ANSWER]" in second["prompt"]
    assert question(given, "cruxeval-i-sample_1")["answer"] == "f()"


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("hmmt-nov-2025", {"answer": " "}, "no answer"),
        ("hmmt-nov-2025", {"problem": None}, "no problem"),
        ("hmmt-nov-2025", {"problem": "a\0b"}, "U+0000"),
        ("omni-math", {"difficulty": "hard"}, "difficulty 'hard' is not a number"),
        ("omni-math", {"answer": None}, "no answer"),
        ("jeebench", {"type": "Essay"}, "type 'Essay' is not one of MCQ, MCQ(multiple), Integer, Numeric"),
        ("jeebench", {"gold": ""}, "no gold"),
        ("olympiadbench", {"final_answer": []}, "no final_answer"),
        ("olympiadbench", {"final_answer": [None]}, "no final_answer"),
        ("olympiadbench", {"error": "some"}, "error 'some' is not a number"),
        ("olympiadbench", {"error": "-1"}, "error '-1' is negative"),
        ("gpqa-diamond", {"solution": "none of them"}, "solution names no option"),
        ("gpqa-diamond", {"problem": "Which?"}, "problem has no options"),
        ("cruxeval-i", {"input": None}, "no input"),
        ("cruxeval-o", {"output": ""}, "no output"),
        ("cruxeval-o", {"output": {"a": 1}}, "output is neither text nor a number"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_stays(home: Home, name: str, change: dict[str, Any], fault: str) -> None:
    small, _, domain = SMALL_SETS[name]
    good = load(home, name)
    bad = next(row for row in small if row.get("domain") in (domain.title(), None) or name == "omni-math")
    loaded = load(home, name, [*small, {**bad, **change}], suffix=".jsonl")
    assert loaded.questions["question"].to_list() == good.questions["question"].to_list()
    (warning,) = (warning for warning in loaded.warnings if "rows skipped" in warning)
    assert warning.startswith(f"benchmark {name} of domain {domain}: rows skipped: 1, row {len(small) + 1}: ")
    assert fault in warning


def test_files_are_read_relative_to_the_home_or_as_given(home: Home, tmp_path: Path) -> None:
    elsewhere = write_rows(tmp_path / "elsewhere" / "rows.jsonl", SMALL_SETS["cruxeval-o"][0])
    settings = Benchmark(source="registered", file=str(elsewhere))
    assert load_benchmark(home, REGISTERED["cruxeval-o"], settings, "programming").questions.height == 2


def test_a_benchmark_registered_twice_or_without_data_set_is_refused():
    first = next(iter(REGISTERED.values()))
    with pytest.raises(ValueError, match=f"benchmark {first.name} is registered twice"):
        by_name([first, first])
    with pytest.raises(ValueError, match="dataset is empty; a registered benchmark is on the Hub"):
        by_name([replace(first, dataset="")])


@pytest.mark.parametrize("revision", ["main", "", "<commit>", "0123abc"])
def test_a_revision_that_is_no_commit_is_refused(revision):
    with pytest.raises(ValueError, match="allowed: 40 hexadecimal digits"):
        replace(next(iter(REGISTERED.values())), revision=revision)
