import numpy as np
import polars as pl
import pytest

from advcluster_dagster.science.semantic_clustering.coverage import TaxonomyModel
from advcluster_dagster.storage.frozen_taxonomies import (
    FIRST,
    FrozenTaxonomy,
    chosen_by_hand,
    has_frozen,
    read_frozen,
    write_frozen,
)


def _frozen(name, frozen_at, is_automatic=False):
    model = TaxonomyModel(
        mean=np.array([0.5, 1, 2], np.float32),
        components=np.array([[1, 0, 0], [0, 0.6, 0.8]], np.float32),
        centroids=np.array([[1, 2], [3, 4]], np.float32),
        reach=1.25,
    )
    return FrozenTaxonomy(
        name,
        frozen_at,
        is_automatic,
        "an-embedder",
        model,
        np.array([[1, 2, 3], [4, 5, 6]], np.float32),
        pl.DataFrame({"cluster_id": [0, 1], "tag": ["Checks units", None]}),
        pl.DataFrame({"advantage_id": ["q:0:0", "q:0:1"], "advantage": ["Checks", "Bounds"], "cluster_id": [1, 0]}),
    )


def test_what_is_written_is_read(tmp_path):
    frozen = _frozen("june", "2025-06-01T00:00:00+00:00")
    write_frozen(tmp_path, "s", "f", frozen)
    found = read_frozen(tmp_path, "s", "f")
    assert (found.name, found.frozen_at, found.is_automatic, found.embedder) == (
        "june", "2025-06-01T00:00:00+00:00", False, "an-embedder",
    )  # fmt: skip
    for name in ("mean", "components", "centroids"):
        array = getattr(found.model, name)
        assert array.dtype == np.float32
        assert np.array_equal(array, getattr(frozen.model, name))
    assert found.model.reach == 1.25
    assert np.array_equal(found.centres, frozen.centres)
    assert found.clusters.equals(frozen.clusters)
    assert found.members.equals(frozen.members)
    assert [path.name for path in (tmp_path / "s" / "f").iterdir()] == ["june.parquet"]


@pytest.mark.parametrize(
    ("written", "counts"),
    [
        ([], None),
        ([(FIRST, "2025-01-01", True)], None),
        ([(FIRST, "2025-01-01", True), ("june", "2025-06-01", False)], ["june", "2025-06-01"]),
        ([("june", "2025-06-01", False), ("may", "2025-05-01", False)], ["june", "2025-06-01"]),
        ([("june", "2025-06-01", False), ("june", "2025-07-01", False)], ["june", "2025-07-01"]),
    ],
)
def test_the_one_frozen_last_counts_and_a_run_of_its_own_accord_makes_nothing_stale(tmp_path, written, counts):
    for taxonomy in written:
        write_frozen(tmp_path, "s", "f", _frozen(*taxonomy))
    assert chosen_by_hand(tmp_path, "s", "f") == counts
    assert has_frozen(tmp_path, "s", "f") == bool(written)
    assert read_frozen(tmp_path, "s", "g") is None
    if counts:
        assert read_frozen(tmp_path, "s", "f").name == counts[0]
