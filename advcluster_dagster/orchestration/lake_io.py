"""IO manager of the tables: validated Parquet, one file per partition, replaced atomically."""

from typing import Any

import dagster as dg
import polars as pl
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import Table
from advcluster_dagster.orchestration.step_failures import storage_failures
from advcluster_dagster.storage.paths import is_local
from advcluster_dagster.storage.table_files import (
    StagedTable,
    Stamp,
    concat_partitions,
    read_file,
    scan_file,
    stage_table,
)
from advcluster_dagster.study.partition import partition_from_key


class LakeIOManager(dg.UPathIOManager):
    """Writes frames or staged tables; loads a partition as a DataFrame or, if so annotated, a LazyFrame.

    An input that maps to several partitions is loaded as one frame of those that exist, in key order, even if there is
    only one. Partitions never materialised add no rows; the asset's step decides which may be missing.
    """

    extension = ".parquet"

    def get_path_for_partition(self, context: Any, path: UPath, partition: str) -> UPath:
        """Path FAMILY/DOMAIN; Dagster orders the dimensions by name."""
        return path.joinpath(*reversed(partition.split("/")))

    def _get_path(self, context: Any) -> UPath:
        return self._get_path_without_extension(context) / "all.parquet"

    def make_directory(self, path: UPath) -> None:
        """Create a local folder; buckets have no folders and must exist."""
        if is_local(path):
            super().make_directory(path)

    def dump_to_path(
        self, context: dg.OutputContext, obj: StagedTable | pl.DataFrame | pl.LazyFrame, path: UPath
    ) -> None:
        """Publish a staged table; a bare frame is staged and validated first.

        Raises:
            ContractError: the frame violates the contract of the asset's table.
        """
        if not isinstance(obj, StagedTable):
            table = _table(context.asset_key)
            key = context.asset_partition_key if context.has_asset_partitions else None
            obj = stage_table(table, obj, partition_from_key(table.level, key), path, Stamp())
        with storage_failures():
            obj.publish()

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.DataFrame | pl.LazyFrame:
        """Load one partition."""
        return scan_file(path) if context.dagster_type.typing_type is pl.LazyFrame else read_file(path)

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        """Load one partition, or the concatenation of several."""
        if not context.has_asset_partitions or not _is_gather(context):
            return self._load_one(context)
        paths = self._get_paths_for_partitions(context)
        with storage_failures():
            frames = [read_file(path) for _, path in sorted(paths.items()) if path.exists()]
        return concat_partitions(_table(context.asset_key), frames)

    def _load_one(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        try:
            with storage_failures():
                loaded = super().load_input(context)
        except FileNotFoundError:
            table = _table(context.asset_key)
            key = context.asset_partition_keys[0] if context.has_asset_partitions else None
            label = partition_from_key(table.level, key).label
            raise dg.Failure(
                f"{table.name} of {label} does not exist; materialise it first", allow_retries=False
            ) from None
        assert isinstance(loaded, pl.DataFrame | pl.LazyFrame)
        return loaded


def _is_gather(context: dg.InputContext) -> bool:
    """Whether the downstream partition depends on several of the input's (a family on its domains, a study on all)."""
    if not context.has_partition_key:
        return True
    is_finest = isinstance(context.partition_key, dg.MultiPartitionKey)
    return not is_finest and context.partition_key not in context.asset_partition_keys


def _table(key: dg.AssetKey) -> Table:
    return TABLES[key.path[-1]]
