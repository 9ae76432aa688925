import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advcluster_dagster.science.semantic_clustering import deduplication
from advcluster_dagster.science.semantic_clustering.deduplication import deduplicate


def test_drops_later_rows_close_to_a_kept_one():
    # cos(row 1, row 0) = 0.8 > 0.7: a duplicate. cos(row 2, row 0) = 0: kept.
    # Row 3 = (0.6, 0.8): cosine 0.6 to row 0, 0.8 to row 2: a duplicate of row 2.
    result = deduplicate([[1, 0], [0.8, 0.6], [0, 2], [0.6, 0.8]], ["q"] * 4, 0.7)
    assert result.is_kept.tolist() == [True, False, True, False]
    assert result.duplicate_of.tolist() == [-1, 0, -1, 2]
    np.testing.assert_allclose(result.similarity, [np.nan, 0.8, np.nan, 0.8], atol=1e-7)
    assert result.duplicate_of.dtype == np.int64
    assert result.similarity.dtype == np.float64


def test_threshold_is_strict():
    # (3, 4) / 5 against (1, 0): the cosine is 0.6 exactly, which is not above 0.6.
    embeddings, groups = [[1, 0], [3, 4]], ["q", "q"]
    assert deduplicate(embeddings, groups, 0.6).is_kept.tolist() == [True, True]
    assert deduplicate(embeddings, groups, 0.5999).is_kept.tolist() == [True, False]


def test_dropped_rows_have_no_duplicates():
    # Angles 0, 40, 80 degrees; cos 40 = 0.766, cos 80 = 0.174. Row 1 duplicates row 0; row 2 is close only to row 1.
    angles = np.radians([0, 40, 80])
    result = deduplicate(np.column_stack([np.cos(angles), np.sin(angles)]), ["q"] * 3, 0.7)
    assert result.is_kept.tolist() == [True, False, True]


def test_tie_goes_to_the_earliest_kept_row():
    # (1, 1) has the same cosine 0.7071 to both axes.
    assert deduplicate([[1, 0], [0, 1], [1, 1]], ["q"] * 3, 0.5).duplicate_of.tolist() == [-1, -1, 0]


def test_groups_are_not_compared():
    result = deduplicate(np.ones((4, 3)), ["a", "b", "a", "b"], 0.95)
    assert result.duplicate_of.tolist() == [-1, -1, 0, 1]
    assert result.similarity[2:].tolist() == [1.0, 1.0]


def test_zero_vectors_are_not_duplicates():
    result = deduplicate([[0, 0], [0, 0], [1, 0], [0, 0]], ["q"] * 4, 0.0)
    assert result.is_kept.all()
    assert np.isnan(result.similarity).all()


def test_equal_rows_keep_the_first_and_threshold_one_keeps_all():
    embeddings = np.full((5, 7), 0.3)
    assert deduplicate(embeddings, [0] * 5, 0.95).duplicate_of.tolist() == [-1, 0, 0, 0, 0]
    assert deduplicate(embeddings, [0] * 5, 1.0).is_kept.all()


def test_no_rows_and_one_row():
    assert deduplicate(np.zeros((0, 4)), [], 0.95).is_kept.tolist() == []
    assert deduplicate([[1.0, 2.0]], ["q"], 0.95).is_kept.tolist() == [True]


@pytest.mark.parametrize(
    ("embeddings", "groups", "threshold", "message"),
    [
        ([[1, 0], [np.nan, 0]], ["a", "a"], 0.9, "row 1"),
        ([[1, 0]], ["a", "a"], 0.9, "1 embeddings but 2 group keys"),
        ([[1, 0]], ["a"], 1.5, r"1.5 is outside \[0, 1\]"),
        ([1, 0], ["a", "a"], 0.9, "shape"),
    ],
)
def test_invalid_input_is_rejected(embeddings, groups, threshold, message):
    with pytest.raises(ValueError, match=message):
        deduplicate(embeddings, groups, threshold)


# Small integers, so that near and exact duplicates are common.
matrices = arrays(np.float32, st.tuples(st.integers(0, 24), st.just(3)), elements=st.integers(-2, 2).map(float))


def cosines(embeddings):
    norms = np.linalg.norm(embeddings.astype(float), axis=1)
    unit = embeddings / np.where(norms > 0, norms, 1)[:, np.newaxis]
    return unit @ unit.T


@given(matrices, st.sampled_from([0.3, 0.75, 0.95]), st.data())
@settings(deadline=None)
def test_kept_rows_differ_and_duplicates_do_not(embeddings, threshold, data):
    n_rows = len(embeddings)
    groups = data.draw(st.lists(st.sampled_from("ab"), min_size=n_rows, max_size=n_rows))
    result, cosine = deduplicate(embeddings, groups, threshold), cosines(embeddings)
    for row in range(n_rows):
        kept_before = [k for k in range(row) if groups[k] == groups[row] and result.is_kept[k]]
        highest = max(cosine[row, kept_before], default=-1.0)
        if result.is_kept[row]:
            assert result.duplicate_of[row] == -1
            assert highest <= threshold + 1e-9
        else:
            assert result.duplicate_of[row] in kept_before
            assert result.similarity[row] > threshold
            assert cosine[row, result.duplicate_of[row]] == pytest.approx(highest)


@given(matrices, matrices)
@settings(deadline=None)
def test_other_groups_have_no_effect(own, other):
    alone = deduplicate(own, ["own"] * len(own), 0.8)
    mixed = deduplicate(np.vstack([other, own]), ["other"] * len(other) + ["own"] * len(own), 0.8)
    assert mixed.is_kept[len(other) :].tolist() == alone.is_kept.tolist()
    np.testing.assert_array_equal(mixed.similarity[len(other) :], alone.similarity)


@given(matrices)
@settings(deadline=None)
def test_block_size_has_no_effect(embeddings):
    whole = deduplicate(embeddings, [0] * len(embeddings), 0.7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deduplication, "_BLOCK_ROWS", 3)
        blocked = deduplicate(embeddings, [0] * len(embeddings), 0.7)
    assert blocked.is_kept.tolist() == whole.is_kept.tolist()
    np.testing.assert_allclose(blocked.similarity, whole.similarity)
