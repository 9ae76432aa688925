import dagster as dg
import polars as pl
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import ContractError
from advcluster_dagster.orchestration.lake_io import LakeIOManager
from advcluster_dagster.orchestration.partition_definitions import (
    partition_mapping,
    partitions_definition,
    sync_partitions,
)
from advcluster_dagster.storage.table_files import Stamp, read_stamp, scan_file, stage_table, table_path
from advcluster_dagster.study.partition import Partition, all_partitions
from tests.storage.conftest import home, lake, pairs_fixture, publish, study

PAIRS = dg.AssetKey(["sums", "trace_pairs"])

__all__ = ["home", "lake", "pairs_fixture", "publish", "study"]


@pytest.fixture
def instance(study):
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, study)
        yield instance


@pytest.fixture
def materialise(home, instance):
    def materialise(*assets, partition=None, select=None, raise_on_error=True):
        return dg.materialize(
            assets,
            selection=select,
            instance=instance,
            resources={"lake_io": LakeIOManager(home.lake), "io_manager": dg.mem_io_manager},
            partition_key=None if partition is None else partition.key,
            raise_on_error=raise_on_error,
        )

    return materialise


def table_asset(name, make):
    """An asset of the study with one table; ``make`` gets the partition key."""
    definition = partitions_definition("sums", TABLES[name].level)

    @dg.asset(key=["sums", name], partitions_def=definition, io_manager_key="lake_io")
    def asset(context: dg.AssetExecutionContext):
        return make(context.partition_key)

    return asset


def reader_asset(seen, level, annotation=pl.DataFrame):
    """An asset of a level that records its input of ``trace_pairs``."""

    def reader(trace_pairs):
        seen.append(trace_pairs)

    reader.__annotations__ = {"trace_pairs": annotation}
    mapping = partition_mapping("family_domain", level)
    return dg.asset(
        key=["sums", f"reader_{level}"],
        partitions_def=partitions_definition("sums", level),
        ins={"trace_pairs": dg.AssetIn(key=PAIRS, partition_mapping=mapping)},
    )(reader)


def external_pairs():
    return dg.AssetSpec(
        PAIRS,
        partitions_def=partitions_definition("sums", "family_domain"),
        metadata={"dagster/io_manager_key": "lake_io"},
    )


def read(materialise, level, partition=None, annotation=pl.DataFrame):
    seen = []
    reader = reader_asset(seen, level, annotation)
    materialise(external_pairs(), reader, partition=partition, select=[reader.key])
    assert len(seen) == 1
    return seen[0]


def test_a_frame_is_checked_written_and_read_back(materialise, pairs, lake):
    seen = []
    assets = table_asset("trace_pairs", lambda key: pairs(0, 1)), reader_asset(seen, "family_domain")
    assert materialise(*assets, partition=Partition("f", "math")).success
    path = table_path(lake, "sums", "trace_pairs", Partition("f", "math"))
    assert seen[0].equals(scan_file(path).collect())
    assert seen[0].select("family", "domain").unique().rows() == [("f", "math")]
    assert read_stamp(path).n_rows == 2


def test_a_lazy_frame_is_written(materialise, pairs, lake):
    materialise(table_asset("trace_pairs", lambda key: pairs(0).lazy()), partition=Partition("g", "biology"))
    path = table_path(lake, "sums", "trace_pairs", Partition("g", "biology"))
    assert scan_file(path).collect().select("family", "domain").rows() == [("g", "biology")]


def test_a_staged_table_is_published_as_it_is(materialise, pairs, lake):
    partition = Partition("f", "math")
    path = table_path(lake, "sums", "trace_pairs", partition)

    def make(key):
        return stage_table(TABLES["trace_pairs"], pairs(0), partition, path, Stamp(code="c0de"))

    materialise(table_asset("trace_pairs", make), partition=partition)
    assert read_stamp(path).code == "c0de"


def test_a_frame_that_breaks_its_contract_is_not_written(materialise, publish, pairs, lake):
    path = publish("trace_pairs", pairs(0), Partition("f", "math"))
    before = path.read_bytes()
    broken = table_asset("trace_pairs", lambda key: pairs(0, 0))
    with pytest.raises(ContractError, match=r"^table trace_pairs: key \(pair_id\) has 1 duplicated"):
        materialise(broken, partition=Partition("f", "math"))
    assert path.read_bytes() == before
    assert [file for file in lake.rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize(
    ("partition", "tail"),
    [(Partition("f", "math"), "trace_pairs/f/math"), (Partition("g", "biology"), "trace_pairs/g/biology")],
)
def test_files_lie_by_family_then_domain(materialise, pairs, lake, partition, tail):
    materialise(table_asset("trace_pairs", lambda key: pairs(0)), partition=partition)
    assert (lake / "sums" / f"{tail}.parquet").exists()


def test_files_of_one_dimension(materialise, lake):
    empty = {name: TABLES[name].empty() for name in ("final_taxonomy", "benchmark_questions")}
    materialise(table_asset("final_taxonomy", lambda key: empty["final_taxonomy"]), partition=Partition("f"))
    questions = table_asset("benchmark_questions", lambda key: empty["benchmark_questions"])
    materialise(questions, partition=Partition(domain="math"))
    assert (lake / "sums/final_taxonomy/f.parquet").exists()
    assert (lake / "sums/benchmark_questions/math.parquet").exists()


def test_a_family_gathers_its_domains_as_one_frame(materialise, publish, pairs):
    for partition, rows in (
        (Partition("f", "math"), pairs(0, 1)),
        (Partition("f", "biology"), pairs(2)),
        (Partition("g", "math"), pairs(9)),
    ):
        publish("trace_pairs", rows, partition)
    frame = read(materialise, "family", Partition("f"))
    assert isinstance(frame, pl.DataFrame)
    assert sorted(frame["pair_index"]) == [0, 1, 2]
    assert set(frame["family"]) == {"f"}


def test_a_single_partition_is_gathered_as_a_frame_too(materialise, publish, pairs):
    publish("trace_pairs", pairs(0, 1), Partition("f", "math"))
    frame = read(materialise, "family", Partition("f"))
    assert isinstance(frame, pl.DataFrame)
    assert frame["pair_index"].to_list() == [0, 1]


def test_a_family_of_one_domain_gathers_it_as_a_frame(materialise, instance, publish, pairs):
    instance.delete_dynamic_partition("sums_domain", "biology")
    publish("trace_pairs", pairs(4), Partition("f", "math"))
    frame = read(materialise, "family", Partition("f"))
    assert isinstance(frame, pl.DataFrame)
    assert frame["pair_index"].to_list() == [4]


def test_gathering_nothing_gives_no_rows(materialise):
    frame = read(materialise, "family", Partition("f"))
    assert frame.is_empty()
    assert frame.schema == TABLES["trace_pairs"].schema


def test_a_study_gathers_all(materialise, publish, pairs, study):
    for i, partition in enumerate(all_partitions(study, "family_domain")):
        publish("trace_pairs", pairs(i), partition)
    assert sorted(read(materialise, "study")["pair_index"]) == [0, 1, 2, 3]


def test_a_lazy_annotation_gets_a_lazy_frame(materialise, publish, pairs):
    publish("trace_pairs", pairs(0, 1), Partition("f", "math"))
    frame = read(materialise, "family_domain", Partition("f", "math"), pl.LazyFrame)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect()["pair_index"].to_list() == [0, 1]


def test_a_partition_that_is_not_there_is_one_clear_line(materialise):
    with pytest.raises(dg.Failure) as caught:
        read(materialise, "family_domain", Partition("f", "math"))
    assert str(caught.value.description) == "trace_pairs of f/math does not exist; materialise it first"


@pytest.mark.parametrize("level", ["family_domain", "family", "domain", "study"])
@pytest.mark.parametrize(
    ("family", "domain"),
    [("f", "math"), ("gpt-4.1", "math.v2"), ("a.", "b..c"), ("x.parquet", "y.tar.gz"), ("0", "_-".join("ab"))],
)
def test_the_manager_and_the_files_agree_on_paths(family, domain, level):
    lake = UPath("/lake")
    partition = Partition(family, domain).at(level)
    context = dg.build_output_context(
        asset_key=PAIRS,
        partition_key=partition.key,
        asset_partitions_def=_static_definition(family, domain, level),
    )
    manager = LakeIOManager(lake)
    path = manager._get_path(context) if level == "study" else manager._get_paths_for_partitions(context)[partition.key]
    assert path == table_path(lake, "sums", "trace_pairs", partition)


def _static_definition(family, domain, level):
    families, domains = dg.StaticPartitionsDefinition([family]), dg.StaticPartitionsDefinition([domain])
    both = dg.MultiPartitionsDefinition({"family": families, "domain": domains})
    return {"family_domain": both, "family": families, "domain": domains, "study": None}[level]
