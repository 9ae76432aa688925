"""What lies in a drop folder belongs to the study, for everyone who loads it; what cannot is named."""

import pytest

from advcluster_dagster.storage.home import Home
from tests.studies import GIVEN, SIMULATED, write_lines, write_study

QUESTION = {"question_id": "q-1", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}


@pytest.fixture
def made(tmp_path):
    return write_study(tmp_path, {**SIMULATED, "domains": {"math": ["worked-math"], "physics": ["worked-math"]}})


def _drop(home, place, folder="benchmarks/made"):
    path = home.root / folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, [QUESTION])
    return path


def test_nothing_dropped_changes_nothing(made):
    assert made.study.domains == {"math": ("worked-math",), "physics": ("worked-math",)}
    assert made.home.drop_faults("made") == []


def test_a_file_is_a_benchmark_of_its_domain_behind_those_declared(made):
    for place in ("math/zeta.jsonl", "math/alpha.jsonl", "physics/alpha.jsonl"):
        _drop(made.home, place)
    study = made.study
    assert study.domains == {"math": ("worked-math", "alpha", "zeta"), "physics": ("worked-math", "alpha")}
    assert study.benchmark("alpha").source == "jsonl"
    assert study.benchmark("alpha").file == "benchmarks/made/{domain}/alpha.jsonl"
    assert made.home.register_study("made") == study
    assert made.home.readable_studies() == ([study], [])


def test_the_folder_is_a_setting(made):
    made.change(automation={"drop_folder": "elsewhere"})
    _drop(made.home, "math/unseen.jsonl")
    _drop(made.home, "math/seen.jsonl", "elsewhere")
    assert made.study.domains["math"] == ("worked-math", "seen")


def test_what_cannot_belong_is_left_out_with_a_line(made):
    _drop(made.home, "math/.half-copied.jsonl")
    _drop(made.home, "math/good.jsonl")
    expected = {
        "loose.jsonl": "a benchmark belongs in the folder of its domain",
        "law/cases.jsonl": "no such domain in study made; known: math, physics",
        "math/Bad Name.jsonl": "names consist of a-z",
        "math/notes.txt": "a benchmark is a JSON Lines file, NAME.jsonl",
        "math/deep/er.jsonl": "a benchmark is a JSON Lines file, NAME.jsonl",
        "physics/worked-math.jsonl": "the study file has a benchmark of that name; rename this one",
        f"math/{'x' * 61}.jsonl": "names consist of a-z",
    }
    for place in expected:
        _drop(made.home, place)
    faults = made.home.drop_faults("made")
    assert len(faults) == len(expected)
    for fault in faults:
        path, why = fault.split(": skipped, ")
        place = path.removeprefix(str(made.home.root / "benchmarks" / "made")).lstrip("/")
        (reason,) = [reason for name, reason in expected.items() if name == place or name.startswith(f"{place}/")]
        assert why.startswith(reason)
        assert "\n" not in fault
    assert made.study.domains == {"math": ("worked-math", "good"), "physics": ("worked-math",)}


def test_a_study_that_imports_traces_is_told_to_import(tmp_path):
    given = write_study(tmp_path, GIVEN)
    _drop(given.home, "sums/more.jsonl", "benchmarks/given")
    (fault,) = given.home.drop_faults("given")
    assert "traces of family f are imported; list the benchmark in the study file" in fault
    assert given.study.domains["sums"] == ("additions",)


def test_two_homes_share_no_drops(made, tmp_path):
    _drop(made.home, "math/more.jsonl")
    other = write_study(tmp_path / "other", SIMULATED)
    assert other.home == Home(tmp_path / "other")
    assert other.study.domains == {"math": ("worked-math",)}
