import pytest

from advcluster_dagster.report.published_results import published_families
from advcluster_dagster.study.study import Study


def study(*families: str, results: str | None = "paper") -> Study:
    pairs = {
        name: {role: {"model": f"{name}-{role}", "provider": "imported"} for role in ("larger", "smaller")}
        for name in families
    }
    return Study.model_validate(
        {"study": "s", "families": pairs, "domains": {"math": ("gsm8k",)}, "published_results": results}
    )


def test_families_match_by_name() -> None:
    assert set(published_families(study("qwen3", "gpt-oss", "lyra"))) == {"qwen3", "gpt-oss"}
    assert published_families(study("qwen3", results=None)) == {}


def test_unknown_results_are_an_error() -> None:
    with pytest.raises(FileNotFoundError, match="'other'"):
        published_families(study("qwen3", results="other"))


@pytest.mark.parametrize("family", ["qwen3", "gpt-oss"])
def test_the_domain_and_family_rows_are_means_of_their_parts(family: str) -> None:
    accuracy = published_families(study(family))[family].accuracy
    for role in ("smaller", "larger"):
        for domain in accuracy.domains.values():
            parts = [row.of(role)[0] for row in domain.benchmarks.values()]
            assert domain.of(role)[0] == pytest.approx(sum(parts) / len(parts), abs=0.011)
        means = [row.of(role)[0] for row in accuracy.domains.values()]
        assert accuracy.family.of(role)[0] == pytest.approx(sum(means) / 4, abs=0.011)


@pytest.mark.parametrize(("family", "kept", "after"), [("qwen3", 115, 1824), ("gpt-oss", 106, 1963)])
def test_counts_add_up_as_printed(family: str, kept: int, after: int) -> None:
    results = published_families(study(family))[family]
    assert sum(results.kept_questions.values()) == kept
    assert sum(results.cluster_sizes) == results.deduplication.after == after
    assert results.chosen.n_clusters == len(results.cluster_sizes)


def test_benchmarks_match_by_the_start_of_their_names() -> None:
    results = published_families(study("qwen3"))["qwen3"]
    names = ["hmmt-nov-2025", "jeebench-math", "omni_math"]
    assert [results.benchmark("math", name, names) is not None for name in names] == [True, True, True]
    assert results.benchmark("math", "gsm8k", ["gsm8k"]) is None
    assert results.benchmark("biology", "gpqa", ["gpqa"]) is None
    twice = ["jeebench-a", "jeebench-b"]
    assert [results.benchmark("math", name, twice) for name in twice] == [None, None]  # which one is meant is unknown
