"""Frozen taxonomies: HOME/taxonomies/STUDY/FAMILY/NAME.parquet, one row per file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from advcluster_dagster.science.semantic_clustering.coverage import TaxonomyModel
from advcluster_dagster.storage.faults import DamagedFileError, writing
from advcluster_dagster.storage.files import atomic_write

#: Name under which the run that makes a family's first taxonomy freezes it.
FIRST = "first"
_FACTS = ("name", "frozen_at", "is_automatic", "embedder")
_CLUSTERS = {"cluster_id": pl.Int64, "tag": pl.String}
_MEMBERS = {"advantage_id": pl.String, "advantage": pl.String, "cluster_id": pl.Int64}


@dataclass(frozen=True)
class FrozenTaxonomy:
    """A taxonomy at the time it was frozen.

    Attributes:
        name: its name.
        frozen_at: time of freezing, ISO 8601 in UTC.
        is_automatic: whether it was frozen by a run rather than by the user.
        embedder: model that made its vectors.
        model: assigns further advantages to its clusters.
        centres: float32 array of shape (K, d), means of its clusters' embeddings.
        clusters: cluster_id (0 .. K-1 in order), tag.
        members: advantage_id, advantage, cluster_id of the clustered advantages.
    """

    name: str
    frozen_at: str
    is_automatic: bool
    embedder: str
    model: TaxonomyModel
    centres: npt.NDArray[np.float32]
    clusters: pl.DataFrame
    members: pl.DataFrame


def write_frozen(root: Path, study: str, family: str, frozen: FrozenTaxonomy) -> Path:
    """Write a taxonomy, replacing one with the same name; return its path."""
    row = {
        **{name: [getattr(frozen, name)] for name in _FACTS},
        "reach": [frozen.model.reach],
        "mean": [frozen.model.mean.tolist()],
        "components": [frozen.model.components.tolist()],
        "centroids": [frozen.model.centroids.tolist()],
        "centres": [frozen.centres.tolist()],
        "clusters": [frozen.clusters.to_dicts()],
        "members": [frozen.members.to_dicts()],
    }
    vector, matrix = pl.List(pl.Float32), pl.List(pl.List(pl.Float32))
    types = {"mean": vector, **dict.fromkeys(("components", "centroids", "centres"), matrix)}
    path = root / study / family / f"{frozen.name}.parquet"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path), atomic_write(path) as staged:
        pq.write_table(pl.DataFrame(row, schema_overrides=types).to_arrow(), staged, write_page_checksum=True)
    return path


def read_frozen(root: Path, study: str, family: str) -> FrozenTaxonomy | None:
    """Return the taxonomy of a family that was frozen last; None if there is none."""
    latest = _latest(root, study, family)
    if latest is None:
        return None
    row = _read_row(latest[0])
    array = {name: np.array(row[name], dtype=np.float32) for name in ("mean", "components", "centroids", "centres")}
    return FrozenTaxonomy(
        **{name: row[name] for name in _FACTS},
        model=TaxonomyModel(array["mean"], array["components"], array["centroids"], row["reach"]),
        centres=array["centres"],
        clusters=pl.DataFrame(row["clusters"], schema=_CLUSTERS),
        members=pl.DataFrame(row["members"], schema=_MEMBERS),
    )


def chosen_by_hand(root: Path, study: str, family: str) -> list[str] | None:
    """Return name and time of the frozen taxonomy in use if the user froze it, otherwise None.

    A taxonomy frozen by a run does not make that run's tables stale.
    """
    latest = _latest(root, study, family)
    return None if latest is None or latest[1]["is_automatic"] else [latest[1]["name"], latest[1]["frozen_at"]]


def has_frozen(root: Path, study: str, family: str) -> bool:
    """Return whether a family has a frozen taxonomy."""
    return _latest(root, study, family) is not None


def _latest(root: Path, study: str, family: str) -> tuple[Path, dict[str, Any]] | None:
    files = sorted(path for path in (root / study / family).glob("*.parquet") if not path.name.startswith("."))
    rows = [(path, _read_row(path, _FACTS)) for path in files]
    return max(rows, key=lambda row: row[1]["frozen_at"], default=None)


def _read_row(path: Path, columns: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the row of a file, or these columns of it.

    Raises:
        DamagedFileError: it cannot be read.
    """
    try:
        # Not `pq.read_table`, which imports pandas: a third of a second.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read(columns=columns and list(columns))
        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        return frame.row(0, named=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, pl.exceptions.PolarsError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedFileError(
            f"{path} is damaged; restore it from a backup, or remove it to use the taxonomy frozen before it, or the"
            " next one"
        ) from error
