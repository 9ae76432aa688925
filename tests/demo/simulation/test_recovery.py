import polars as pl
import pytest

from advcluster_dagster.demo.simulation.recovery import measure_recovery
from advcluster_dagster.demo.simulation.trials import planted_slips
from advcluster_dagster.storage.home import shipped
from advcluster_dagster.study.study import load_study

FAMILY, DOMAIN, BENCHMARK = "lyra", "physics", "worked-physics"


@pytest.fixture(scope="module")
def study():
    return load_study(shipped("data/studies") / "demo.yaml")


@pytest.fixture(scope="module")
def slips(study):
    """Planted slips of the smaller model: question_id, trial, skill, stage; the first of each of four skills."""
    planted = planted_slips("lyra-small", BENCHMARK, DOMAIN, study.seed, study.trials)
    return planted.unique("skill", maintain_order=True).head(4).to_dicts()


@pytest.fixture(scope="module")
def clean_trial(study):
    """A question and a trial without a slip of the smaller model."""
    planted = planted_slips("lyra-small", BENCHMARK, DOMAIN, study.seed, study.trials)
    question, trials = planted.group_by("question_id", maintain_order=True).agg("trial").row(0)
    return question, next(trial for trial in range(study.trials) if trial not in trials)


def tables(pairs, assignments, stages, family=FAMILY):
    """``pairs``: (question, smaller trial); ``assignments``: (pair number, cluster); ``stages``: a pair's stage."""
    ids = [f"{question}:{i}" for i, (question, _) in enumerate(pairs)]
    advantages = [
        (f"{ids[pair]}:{position}", ids[pair], cluster) for position, (pair, cluster) in enumerate(assignments)
    ]

    def frame(rows, **schema):
        actual = pl.DataFrame(rows, schema=schema, orient="row")
        return actual.with_columns(family=pl.lit(family), domain=pl.lit(DOMAIN))

    text, number = pl.String, pl.Int64
    return {
        "trace_pairs": frame(
            [(pair_id, question, trial) for pair_id, (question, trial) in zip(ids, pairs, strict=True)],
            pair_id=text, question_id=text, smaller_trial=number,
        ),
        "advantage_corpus": frame([row[:2] for row in advantages], advantage_id=text, pair_id=text),
        "taxonomy_assignments": frame([(row[0], row[2]) for row in advantages], advantage_id=text, cluster_id=number),
        "first_errors": frame(list(zip(ids, stages, strict=True)), pair_id=text, stage=text),
    }  # fmt: skip


def pairs_of(slips):
    return [(slip["question_id"], slip["trial"]) for slip in slips]


def test_the_demonstration_plants_several_skills(slips):
    assert len({slip["skill"] for slip in slips}) == 4


def test_all_recovered(study, slips):
    # Two descriptions per pair, each pair with its own cluster and its own skill: index 1.
    assignments = [(pair, pair) for pair in range(4) for _ in range(2)]
    actual = measure_recovery(study, FAMILY, tables(pairs_of(slips), assignments, [slip["stage"] for slip in slips]))
    assert actual == (FAMILY, 1, 8, 1, 4)


def test_names_of_clusters_do_not_matter(study, slips):
    assignments = [(pair, 9 - pair) for pair in range(4) for _ in range(2)]
    assert measure_recovery(study, FAMILY, tables(pairs_of(slips), assignments, ["Reading"] * 4))[1] == 1


def test_one_cluster_for_all_recovers_nothing(study, slips):
    assignments = [(pair, 0) for pair in range(4) for _ in range(2)]
    assert measure_recovery(study, FAMILY, tables(pairs_of(slips), assignments, ["Reading"] * 4))[1] == 0


def test_an_index_by_hand(study, slips):
    # Skills A A B B, clusters 0 0 0 1. Pairs in one skill 2, in one cluster 3, in both 1, of 6. Expected 2 * 3 / 6 = 1,
    # largest (2 + 3) / 2 = 2.5: index (1 - 1) / (2.5 - 1) = 0.
    assignments = [(0, 0), (0, 0), (1, 0), (1, 1)]
    actual = measure_recovery(study, FAMILY, tables(pairs_of(slips[:2]), assignments, ["Reading"] * 2))
    assert actual[1:3] == (0, 4)


def test_the_share_of_stages(study, slips):
    stages = [slip["stage"] for slip in slips]
    wrong = ["Reading" if stage != "Reading" else "Encoding" for stage in stages]
    actual = measure_recovery(study, FAMILY, tables(pairs_of(slips), [], [*stages[:3], wrong[3]]))
    assert actual[3:] == (0.75, 4)


def test_trials_without_a_slip_are_not_compared(study, slips, clean_trial):
    pairs = [*pairs_of(slips[:1]), clean_trial]
    actual = measure_recovery(study, FAMILY, tables(pairs, [(0, 0), (1, 0)], [slips[0]["stage"], "Encoding"]))
    assert actual[2:] == (1, 1, 1)


def test_pairs_whose_extraction_failed_are_not_compared(study, slips):
    given = tables(pairs_of(slips), [], [slip["stage"] for slip in slips])
    given["first_errors"] = given["first_errors"].head(1)
    assert measure_recovery(study, FAMILY, given) == (FAMILY, None, 0, 1, 1)


def test_nothing_to_compare(study):
    assert measure_recovery(study, FAMILY, tables([], [], [])) == (FAMILY, None, 0, None, 0)


def test_other_families_do_not_count(study, slips):
    given = tables(pairs_of(slips), [(0, 0)], [slip["stage"] for slip in slips], family="orion")
    assert measure_recovery(study, FAMILY, given) == (FAMILY, None, 0, None, 0)
