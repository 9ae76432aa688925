import duckdb
import polars as pl
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.column_lineage import column_lineage
from advcluster_dagster.storage.sql_models import SqlModel, bind, held_open
from advcluster_dagster.study.partition import Partition


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def test_ref_becomes_the_table_and_is_remembered():
    model = SqlModel(
        "m", "-- Two lines\n-- of words.\nselect 1 from {{ ref('trace_pairs') }}, {{ ref('first_errors') }}"
    )
    assert model.sql.endswith("select 1 from trace_pairs, first_errors")
    assert model.refs == {"trace_pairs", "first_errors"}
    assert model.description == "Two lines of words."
    assert model.is_blocking


def test_severity_warn_does_not_block():
    model = SqlModel("m", "{{ config(severity='warn') }}\nselect 1")
    assert not model.is_blocking
    assert model.sql.strip() == "select 1"
    assert model.description == ""


def test_a_ref_to_no_table_is_one_clear_line():
    with pytest.raises(ValueError, match=r"^SQL model m: ref\('trace_pair'\) names no table$"):
        _ = SqlModel("m", "select 1 from {{ ref('trace_pair') }}").sql


def test_templates_reach_nothing_else():
    with pytest.raises(Exception, match=r"unsafe|undefined"):
        _ = SqlModel("m", "{{ ref.__globals__['os'] }}").sql


def test_lineage_follows_a_column_through_parts_of_a_query():
    source = """
        with counts as (select pair_id, count(*) as n from {{ ref('advantage_corpus') }} group by pair_id)
        select pairs.pair_id, counts.n + larger_trial as both, 'x' as fixed
        from {{ ref('trace_pairs') }} as pairs inner join counts on pairs.pair_id = counts.pair_id
    """
    assert column_lineage(SqlModel("m", source)) == {
        "pair_id": (("trace_pairs", "pair_id"),),
        "both": (
            *sorted(("advantage_corpus", column) for column in TABLES["advantage_corpus"].key),
            ("trace_pairs", "larger_trial"),
        ),
        "fixed": (),
    }


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_files_is_an_empty_view_of_its_contract(connection, name):
    bind(connection, {name: []})
    found = connection.sql(f'select * from "{name}"').pl()
    assert found.is_empty()
    assert found.schema == TABLES[name].schema


def test_a_partition_without_vectors_binds_beside_one_with(connection, publish):
    table = TABLES["advantage_embeddings"]
    empty = publish(table.name, table.empty().drop("family", "domain"), Partition("f", "math"))
    vector = pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float32, 2))
    rows = pl.DataFrame({"advantage_id": ["q:0:0"], "embedding": vector, "embedder": ["e"]})
    filled = publish(table.name, rows, Partition("f", "biology"))
    for files in ([empty, filled], [filled, empty]):
        bind(connection, {table.name: [str(path) for path in files]})
        assert connection.sql("select embedding from advantage_embeddings").fetchall() == [([1.0, 2.0],)]


def test_held_files_stay_what_they_were(connection, publish, pairs):
    path = publish("trace_pairs", pairs(0, 1), Partition("f", "math"))
    with held_open({"trace_pairs": [path]}) as held:
        bind(connection, held)
        publish("trace_pairs", pairs(2, 3, 4), Partition("f", "math"))
        assert connection.sql("select pair_index from trace_pairs order by 1").fetchall() == [(0,), (1,)]
    with held_open({"trace_pairs": [path]}) as held:
        bind(connection, held)
        assert connection.sql("select count(*) from trace_pairs").fetchall() == [(3,)]


def test_without_a_folder_of_open_files_names_stay(monkeypatch, tmp_path):
    monkeypatch.setattr("advcluster_dagster.storage.sql_models._OPEN_FILES", tmp_path / "none")
    with held_open({"t": [UPath("/lake/x.parquet")]}) as held:
        assert held == {"t": ["/lake/x.parquet"]}
