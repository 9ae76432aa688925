"""First errors against permuted stages: hand-computed agreement, simulated concentration, simulated chance."""

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.error_dispersion.dispersion import concentration, error_dispersion_index
from advcluster_dagster.science.error_dispersion.dispersion_tests import (
    ResamplingSettings,
    agreements,
    dispersion_tests,
    incomplete_trials,
    mean_dispersion,
    permuted_counts,
    stage_information,
    stage_shares,
)

FEW = ResamplingSettings(n_bootstrap=200, n_permutations=200)
DEPTHS = [f"n_depth_{depth}" for depth in range(1, 6)]


def dispersion(counts, domain="d"):
    rows = [(domain, f"{domain}{i}", int(sum(row)), *map(int, row)) for i, row in enumerate(counts)]
    return pl.DataFrame(rows, schema=["domain", "question_id", "n_errors", *DEPTHS], orient="row",
                        infer_schema_length=None)  # fmt: skip


def against_chance(frame, settings=FEW, seed=0):
    keys = frame.select("domain", "question_id", source_key="question_id")
    return dispersion_tests(frame, keys, settings, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("counts", "value"),
    [
        ([7, 3, 0, 0, 0], 0.5333), ([3, 2, 1, 1, 0], 0.1905), ([0, 1, 5, 2, 0], 0.3929), ([0, 0, 6, 0, 0], 1.0),
        ([1, 1, 0, 0, 0], 0.0), ([1, 0, 0, 0, 0], None), ([0, 0, 0, 0, 0], None),
    ],
)  # fmt: skip
def test_concentration(counts, value):
    assert concentration(counts) == (None if value is None else pytest.approx(value, abs=5e-5))


def test_kappa_of_two_questions():
    # Errors 3,3,3,3 and 3,3,4,4: within (12 + 4) / 24, between 4 * 2 / 16, kappa (2/3 - 1/2) / (1/2).
    within, between, kappa = agreements(np.array([[0, 0, 4, 0, 0], [0, 0, 2, 2, 0]]))
    assert (within[0], between[0], kappa[0]) == pytest.approx((2 / 3, 1 / 2, 1 / 3))


def test_pairs_of_a_resampled_question_are_not_pairs_between_questions():
    counts = np.array([[4, 0, 0, 0, 0], [0, 4, 0, 0, 0]])
    _, between, _ = agreements(counts, np.array([[2, 0], [1, 1]]))
    assert np.isnan(between[0])
    assert between[1] == 0.0


def test_the_mean_index_equals_the_mean_over_questions():
    counts = np.array([[7, 3, 0, 0, 0], [1, 1, 0, 0, 0]])
    expected = np.mean([error_dispersion_index(list(map(int, row))) for row in counts])
    assert mean_dispersion(counts) == pytest.approx(expected)


def test_information_with_one_stage_per_question_is_the_entropy():
    assert stage_information(np.array([[4, 0, 0, 0, 0], [0, 4, 0, 0, 0]])) == pytest.approx(1.0)
    assert stage_information(np.array([[2, 2, 0, 0, 0], [2, 2, 0, 0, 0]])) == pytest.approx(0.0)


def test_permutations_preserve_question_sizes_and_domain_stages():
    counts = np.array([[3, 1, 0, 0, 0], [0, 0, 2, 0, 0], [0, 5, 0, 0, 1]])
    permuted = permuted_counts(counts, np.array([0, 0, 1]), 30, np.random.default_rng(0))
    assert (permuted.sum(axis=2) == counts.sum(axis=1)).all()
    assert (permuted[:, :2].sum(axis=1) == counts[:2].sum(axis=0)).all()
    assert (permuted[:, 2] == counts[2]).all()


def test_one_stage_per_question_is_significant():
    rng = np.random.default_rng(0)
    counts = [np.eye(5, dtype=int)[stage] * 8 for stage in rng.integers(0, 5, 20)]
    row = against_chance(dispersion(counts), ResamplingSettings(n_permutations=1000, n_bootstrap=200)).row(
        1, named=True
    )
    assert row["p_value"] <= 0.001
    assert row["kappa"] >= 0.9
    assert row["mean_edi"] == 0.0


def test_stages_sampled_from_the_domains_shares_are_not_significant():
    """P(p <= .05) at most .08 and kappa near 0; seeds are fixed."""
    p_values, kappas = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        row = against_chance(dispersion(rng.multinomial(8, [0.1, 0.3, 0.2, 0.3, 0.1], 20)), seed=seed).row(
            1, named=True
        )
        p_values.append(row["p_value"])
        kappas.append(row["kappa"])
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert abs(np.mean(kappas)) <= 0.05


def test_random_choice_of_two_stages_has_a_low_index_but_is_not_significant():
    rng = np.random.default_rng(1)
    rows = [(0, 0, heads, 9 - heads, 0) for heads in rng.binomial(9, 0.5, 300)]
    row = against_chance(dispersion(rows)).row(1, named=True)
    assert row["mean_edi"] == pytest.approx(0.40, abs=0.02)
    assert row["p_value"] > 0.05


@pytest.mark.parametrize("counts", [[], [[1, 0, 0, 0, 0]], [[0, 0, 0, 0, 0]]])
def test_too_few_errors_give_nulls(counts):
    table = against_chance(dispersion(counts))
    assert table.drop("domain", "n_questions", "n_left_out").null_count().row(0) == (table.height,) * 18
    assert table["n_left_out"].to_list() == [len(counts)] * table.height


def test_with_fewer_than_five_keys_there_is_a_test_but_no_interval():
    row = against_chance(dispersion([[4, 0, 0, 0, 0], [0, 4, 0, 0, 0]])).row(1, named=True)
    assert row["p_value"] is not None
    assert (row["edi_low"], row["kappa_high"]) == (None, None)


def shares(frame, incomplete=None):
    keys = frame.select("domain", "question_id", source_key="question_id")
    if incomplete is None:
        incomplete = frame.select("domain", "question_id", n_pairs="n_errors", n_incomplete=pl.lit(0, pl.Int64))
    table = stage_shares(frame, incomplete, keys, FEW, np.random.default_rng(0))
    return {(row["domain"], row["stage"]): row for row in table.iter_rows(named=True)}


def test_questions_have_equal_weight_for_any_number_of_errors():
    rows = shares(dispersion([[0, 0, 8, 0, 0], [2, 0, 0, 0, 0]]))
    third = rows["d", "Transformation"]
    assert (third["pair_share"], third["question_share"]) == (0.8, 0.5)
    assert rows["d", "depth_3_4"]["question_share"] == 0.5
    assert third["low"] is None  # two questions


def test_the_lead_of_a_clear_and_of_an_unclear_stage():
    clear = shares(dispersion([[0, 0, 0, 6, 1]] * 10))
    assert clear["d", "Process Skills"]["lead_low"] > 0
    assert clear["d", "Encoding"]["lead"] is None
    rng = np.random.default_rng(3)
    unclear = shares(dispersion([[0, 0, n, 8 - n, 0] for n in rng.integers(0, 9, 10)]))
    lead = next(row for row in unclear.values() if row["domain"] == "d" and row["lead"] is not None)
    assert lead["lead_low"] <= 0


def test_a_stage_of_every_question_has_the_jeffreys_interval():
    row = shares(dispersion([[0, 0, 0, 5, 0]] * 6))["d", "Process Skills"]
    assert (row["question_share"], row["high"]) == (1.0, 1.0)
    assert row["low"] == pytest.approx(0.67, abs=0.01)  # Jeffreys, 6 of 6


def test_trials_without_an_answer():
    kept = pl.DataFrame({"domain": ["d"], "question_id": ["d0"]})
    graded = pl.DataFrame(
        [("d", "d0", "smaller", v) for v in ("wrong", "wrong", "truncated", "correct")]
        + [("d", "d0", "larger", "wrong"), ("d", "other", "smaller", "no_answer")],
        schema=["domain", "question_id", "role", "verdict"], orient="row",
    )  # fmt: skip
    incomplete = incomplete_trials(kept, graded)
    assert incomplete.rows() == [("d", "d0", 3, 1)]
    row = shares(dispersion([[0, 0, 2, 0, 0]]), incomplete)["d", "incomplete"]
    assert (row["n_errors"], row["question_share"]) == (1, pytest.approx(1 / 3))


def test_no_questions_give_empty_tables():
    assert against_chance(dispersion([])).is_empty()
    assert shares(dispersion([])) == {}
