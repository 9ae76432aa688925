"""Load benchmarks of a study: files, cache, and errors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from huggingface_hub import errors

from advcluster_dagster.assets.inference import benchmark_questions
from advcluster_dagster.contracts.inference import BENCHMARK_QUESTIONS
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.sources.benchmarks.registry import (
    REGISTERED,
    BenchmarkError,
    benchmark_provenance,
    can_load_questions,
    expected_questions,
    load_questions,
    questions_at_hand,
)
from advcluster_dagster.storage.home import Home, shipped
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study, StudyError, load_study
from tests.sources.benchmarks.small_sets import CRUXEVAL, HMMT, SMALL_SETS, write_rows
from tests.studies import recipe_named, write_study

PROGRAMS = {"programming": ["cruxeval-i", "cruxeval-o"]}
OWN = {"question_id": "sums-1", "question": "2 + 3?", "answer": 5, "answer_type": "numeric"}


def study_of(domains: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> Study:
    imported = {"provider": "imported"}
    families = {"f": {"larger": {"model": "a", **imported}, "smaller": {"model": "b", **imported}}}
    return Study.model_validate({"study": "s", "families": families, "domains": domains, "benchmarks": benchmarks})


def crux(**settings: Any) -> dict[str, Any]:
    return {name: {"source": "registered", **settings} for name in PROGRAMS["programming"]}


def test_all_benchmarks_of_the_paper_load_through_the_step(home: Home) -> None:
    settings = {}
    paper = load_study(shipped("data/studies") / "paper.yaml")
    in_paper = {name for names in paper.domains.values() for name in names}
    for name, (rows, suffix, _) in ((name, small) for name, small in SMALL_SETS.items() if name in in_paper):
        write_rows(home.root / f"{name}{suffix}", rows)
        settings[name] = {"source": "registered", "file": f"{name}{suffix}"}
    domains = {domain: list(names) for domain, names in paper.domains.items()}
    content = study_of(domains, settings).model_dump(mode="json", exclude_defaults=True)
    small = write_study(home.root, content)
    actual = {}
    for domain in domains:
        recipe = recipe_named("benchmark_questions")
        step = Step(small.home, small.study, recipe, Partition(None, domain), cast(Any, None))
        questions = benchmark_questions.function(step)
        assert BENCHMARK_QUESTIONS.faults(BENCHMARK_QUESTIONS.conform(questions.lazy(), {"domain": domain})) == []
        actual[domain] = dict(questions.group_by("benchmark").len().iter_rows())
    # Counted by hand in small_sets: rows of the domain that pass the benchmark's filter.
    assert actual == {
        "math": {"hmmt-nov-2025": 2, "jeebench": 1, "omni-math": 2},
        "physics": {"jeebench": 2, "olympiadbench": 3, "gpqa-diamond": 1},
        "chemistry": {"jeebench": 1, "gpqa-diamond": 1},
        "programming": {"cruxeval-i": 2, "cruxeval-o": 2},
    }


def test_expected_sizes_of_the_paper(home: Home) -> None:
    study = load_study(shipped("data/studies") / "paper.yaml")
    # Design section 3.
    expected = {"math": [30, 236, 482], "physics": [123, 113, 86], "chemistry": [156, 93], "programming": [800, 800]}
    actual = {domain: [*expected_questions(home, study, domain).values()] for domain in study.domains}
    assert actual == expected


def test_expected_sizes_of_other_sources(home: Home) -> None:
    study = study_of(
        {"math": ["made", "hmmt-nov-2025"], "later": ["hmmt-nov-2025", "brought"], "own": ["own", "hmmt-nov-2025"]},
        {"made": {"source": "simulated"}, "hmmt-nov-2025": {"source": "registered"}, "own": {"source": "jsonl"}},
    )
    n_simulated = load_questions(home, study_of({"math": ["made"]}, {"made": {"source": "simulated"}}), "math").height
    assert n_simulated > 0
    assert expected_questions(home, study, "math") == {"made": n_simulated, "hmmt-nov-2025": 30}
    assert expected_questions(home, study, "later") == {"hmmt-nov-2025": 30, "brought": None}
    assert expected_questions(home, study, "own") == {"own": None, "hmmt-nov-2025": 30}
    # An existing file is counted, whatever else has to be downloaded.
    (home.root / "benchmarks").mkdir(exist_ok=True)
    row = {"question_id": "a", "question": "1 + 1?", "answer": "2", "answer_type": "numeric"}
    write_rows(home.root / "benchmarks" / "own.jsonl", [row])
    assert expected_questions(home, study, "own") == {"own": 1, "hmmt-nov-2025": 30}


def test_a_size_that_differs_is_a_warning_with_both_numbers(home: Home) -> None:
    write_rows(home.root / "crux.jsonl", CRUXEVAL)
    warnings: list[str] = []
    load_questions(home, study_of(PROGRAMS, crux(file="crux.jsonl")), "programming", warnings)
    assert warnings == [f"benchmark {name} of domain programming: questions found: 2, expected: 800" for name in crux()]


def test_bad_rows_are_counted_beyond_those_named(home: Home) -> None:
    rows = [*CRUXEVAL, CRUXEVAL[0], "{not json", "[1]", *(["null"] * 20)]
    write_rows(home.root / "crux.jsonl", rows)
    warnings: list[str] = []
    study = study_of({"programming": ["cruxeval-o"]}, {"cruxeval-o": crux(file="crux.jsonl")["cruxeval-o"]})
    assert load_questions(home, study, "programming", warnings).height == 2
    # 1 repeated id + 2 unreadable lines + 20 nulls, of which 20 are listed.
    assert "rows skipped: 23, row 3: id cruxeval-o-sample_0 already occurs in row 1; row 4: not a JSON" in warnings[0]
    assert warnings[0].endswith("(and 3 more)")


def test_no_usable_row_is_an_error(home: Home) -> None:
    write_rows(home.root / "crux.jsonl", HMMT)
    with pytest.raises(BenchmarkError, match=r"crux.jsonl has no question of domain programming; row 1: no input"):
        load_questions(home, study_of(PROGRAMS, crux(file="crux.jsonl")), "programming")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.txt", b"", "unsupported file type; allowed: .jsonl, .json, .csv, .parquet"),
        ("rows.json", b"[{]", "cannot be read as json"),
        ("rows.jsonl", b"\xff\xfe{", "cannot be read as jsonl"),
        ("rows.parquet", b"no parquet", "cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read(home: Home, name: str, content: bytes, message: str) -> None:
    (home.root / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=message) as error:
        load_questions(home, study_of(PROGRAMS, crux(file=name)), "programming")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(home: Home) -> None:
    study = study_of(PROGRAMS, crux(file="nowhere.jsonl"))
    assert can_load_questions(home, study, "programming")
    with pytest.raises(BenchmarkError, match=r"benchmark 'cruxeval-i': file .*nowhere.jsonl"):
        load_questions(home, study, "programming")


def test_a_benchmark_that_is_not_registered(home: Home) -> None:
    study = study_of({"math": ["unheard-of"]}, {"unheard-of": {"source": "registered"}})
    assert can_load_questions(home, study, "math")
    assert benchmark_provenance(home, study, "math")[0]["dataset"] is None
    with pytest.raises(BenchmarkError, match=r"'unheard-of' is not registered; allowed: hmmt-nov-2025, jeebench"):
        load_questions(home, study, "math")
    with pytest.raises(BenchmarkError, match="not registered"):
        expected_questions(home, study, "math")


def test_a_domain_that_the_data_set_does_not_have(home: Home) -> None:
    study = study_of({"history": ["jeebench"]}, {"jeebench": {"source": "registered"}})
    with pytest.raises(BenchmarkError, match="no questions for domain 'history'; allowed: math, physics, chemistry"):
        load_questions(home, study, "history")


def test_a_cached_data_set_needs_no_network(home: Home) -> None:
    definition = REGISTERED["cruxeval-o"]
    cache = home.root / "benchmarks_cache" / "datasets--cruxeval-org--cruxeval" / "snapshots"
    write_rows(cache / definition.revision / "test.jsonl", CRUXEVAL)
    study = study_of({"programming": ["cruxeval-o"]}, {"cruxeval-o": {"source": "registered"}})
    questions = questions_at_hand(home, study, "programming")
    assert questions is not None
    assert questions["source"].unique().to_list() == ["cruxeval-org/cruxeval"]
    assert questions["source_revision"].unique().to_list() == [definition.revision]


def test_questions_at_hand_ask_no_network(home: Home) -> None:
    write_rows(home.root / "crux.jsonl", CRUXEVAL)
    study = study_of(
        {"open": ["cruxeval-o"], "filed": ["cruxeval-i"], "brought": ["brought"], "odd": ["odd"]},
        {
            "cruxeval-o": {"source": "registered"},
            "cruxeval-i": {"source": "registered", "file": "crux.jsonl"},
            "odd": {"source": "registered"},
        },
    )
    assert questions_at_hand(home, study, "open") is None
    assert questions_at_hand(home, study, "brought") is None
    filed = questions_at_hand(home, study, "filed")
    assert filed is not None
    assert filed.height == 2
    with pytest.raises(BenchmarkError, match="not registered"):
        questions_at_hand(home, study, "odd")


def test_the_pinned_commit_is_fetched_unless_the_study_names_another(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(dataset: str, name: str, **named: Any) -> str:
        asked.append((dataset, name, named["repo_type"], named["revision"], named["cache_dir"]))
        return str(write_rows(Path(named["cache_dir"]) / "snapshots" / "c0ffee" / name, CRUXEVAL))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    for revision in (None, "main"):
        settings = {"cruxeval-o": {"source": "registered", "revision": revision}}
        questions = load_questions(home, study_of({"programming": ["cruxeval-o"]}, settings), "programming")
        assert questions["source_revision"].unique().to_list() == ["c0ffee"]
    where = ("cruxeval-org/cruxeval", "test.jsonl", "dataset")
    cache = home.root / "benchmarks_cache"
    assert asked == [(*where, REGISTERED["cruxeval-o"].revision, cache), (*where, "main", cache)]


def test_the_next_name_is_tried_where_a_data_set_has_no_such_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_dataset: str, name: str, **named: Any) -> str:
        if name == "test.jsonl":
            raise errors.RemoteEntryNotFoundError("no such file", response=_response(404))
        return str(write_rows(Path(named["cache_dir"]) / "snapshots" / "c0ffee" / name, SMALL_SETS["omni-math"][0]))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    study = study_of({"math": ["omni-math"]}, {"omni-math": {"source": "registered"}})
    assert load_questions(home, study, "math").height == 2


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (lambda: errors.GatedRepoError("gated", response=_response(403)), "is gated: accept its terms .* HF_TOKEN"),
        (
            lambda: errors.RepositoryNotFoundError("?", response=_response(404)),
            "does not exist, or HF_TOKEN has no access",
        ),
        (lambda: errors.RevisionNotFoundError("?", response=_response(404)), "has no such revision"),
        (lambda: errors.LocalEntryNotFoundError("offline"), "could not be reached: check the network"),
        (lambda: errors.RemoteEntryNotFoundError("?", response=_response(404)), "has no file test.jsonl"),
        (lambda: httpx2.ReadTimeout("too slow"), r"could not be downloaded \(too slow\)"),
        (lambda: OSError("disk\nfull"), r"could not be downloaded \(disk full\)"),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: Any, advice: str
) -> None:
    def fetch(*_given: Any, **_named: Any) -> str:
        raise error()

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    study = study_of(PROGRAMS, crux())
    assert can_load_questions(home, study, "programming")
    with pytest.raises(BenchmarkError, match=advice) as raised:
        load_questions(home, study, "programming")
    assert "cruxeval-org/cruxeval at b96af0450242" in str(raised.value)
    assert "benchmarks.cruxeval-i.file" in str(raised.value)
    assert "\n" not in str(raised.value)


def _response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://example.org"))


def test_provenance_follows_the_file_and_the_revision(home: Home) -> None:
    path = write_rows(home.root / "crux.jsonl", CRUXEVAL)
    study = study_of({"programming": ["cruxeval-o"]}, {"cruxeval-o": {"source": "registered", "file": "crux.jsonl"}})
    (before,) = benchmark_provenance(home, study, "programming")
    load_questions(home, study, "programming")
    assert benchmark_provenance(home, study, "programming") == [before]
    write_rows(path, CRUXEVAL[:1])
    (after,) = benchmark_provenance(home, study, "programming")
    assert before["file_name"] == after["file_name"] == "crux.jsonl"
    assert before["revision"] != after["revision"]
    pinned = study_of({"programming": ["cruxeval-o"]}, {"cruxeval-o": {"source": "registered"}})
    assert benchmark_provenance(home, pinned, "programming") == [
        {
            "benchmark": "cruxeval-o",
            "source": "registered",
            "dataset": "cruxeval-org/cruxeval",
            "revision": REGISTERED["cruxeval-o"].revision,
        }
    ]


def test_a_dropped_in_file_of_questions(home: Home) -> None:
    study = study_of({"sums": ["own"]}, {"own": {"source": "jsonl"}})
    assert not can_load_questions(home, study, "sums")
    context = {"tolerance": 0.5, "tolerance_kind": "absolute"}
    rows = [
        OWN,
        {**OWN, "question_id": "sums-2", "prompt": "Say 1.50.", "answer_context": context},
        {**OWN, "question_id": "sums-3", "answer_context": json.dumps(context)},
        {**OWN, "question_id": "sums-4", "answer_type": "essay"},
        {**OWN, "question_id": "sums-5", "answer_context": "{"},
        {**OWN, "question_id": "sums-6", "answer_context": [1]},
        {**OWN, "question_id": "two\nlines"},
        '{"question_id": "sums-7", "question": "3 / 2?", "answer": 1.50, "answer_type": "numeric"}',
    ]
    write_rows(home.root / "benchmarks" / "own.jsonl", rows)
    assert can_load_questions(home, study, "sums")
    warnings: list[str] = []
    questions = load_questions(home, study, "sums", warnings)
    assert questions["question_id"].to_list() == ["sums-1", "sums-2", "sums-3", "sums-7"]
    assert questions["answer"].to_list() == ["5", "5", "5", "1.50"]
    assert questions["prompt"].to_list() == ["2 + 3?", "Say 1.50.", "2 + 3?", "3 / 2?"]
    actual = [json.loads(text) if text else None for text in questions["answer_context"]]
    assert actual == [None, context, context, None]
    assert len(warnings) == 1
    assert "rows skipped: 4, row 4: answer_type 'essay' is not one of" in warnings[0]


def test_an_id_in_two_benchmarks_is_refused(home: Home) -> None:
    study = study_of({"sums": ["own", "other"]}, {"own": {"source": "jsonl"}, "other": {"source": "jsonl"}})
    for name in ("own", "other"):
        write_rows(home.root / "benchmarks" / f"{name}.jsonl", [OWN])
    with pytest.raises(BenchmarkError, match="'sums-1' occurs in other and own"):
        load_questions(home, study, "sums")


@pytest.mark.parametrize(
    "settings",
    [
        {"source": "imported", "file": "a.jsonl"},
        {"source": "simulated", "file": "a.jsonl"},
        {"source": "imported", "revision": "main"},
        {"source": "registered", "file": "a.jsonl", "revision": "main"},
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    content = study_of({"math": ["b"]}, {}).model_dump(mode="json")
    small = write_study(tmp_path, {**content, "benchmarks": {"b": settings}})
    with pytest.raises(StudyError, match=r"benchmarks\.b: (file|revision) is"):
        _ = small.study
