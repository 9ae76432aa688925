import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import Stamp, stage_table, table_path
from advcluster_dagster.storage.views import QueryError, query_study
from advcluster_dagster.study.partition import Partition


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_queried_before_it_is_made(home, study, name):
    found = query_study(home, study, f"select * from {name}")
    assert found.is_empty()
    assert found.columns == list(TABLES[name].schema)


def test_all_partitions_of_the_study_are_one_table(home, study, publish, pairs):
    publish("trace_pairs", pairs(0, 1), Partition("f", "math"))
    publish("trace_pairs", pairs(2), Partition("g", "biology"))
    publish("trace_pairs", pairs(9), Partition("f", "left-the-study"))
    found = query_study(home, study, "select family, domain, count(*) as n from trace_pairs group by all order by all")
    assert found.rows() == [("f", "math", 2), ("g", "biology", 1)]


def test_tables_can_be_joined_with_tables_not_yet_made(home, study, publish, pairs):
    publish("trace_pairs", pairs(0), Partition("f", "math"))
    sql = "select pair_id, stage from trace_pairs left join first_errors using (pair_id)"
    assert query_study(home, study, sql).rows() == [("q:0", None)]


def test_studies_see_only_their_own_data(home, study, publish, pairs):
    publish("trace_pairs", pairs(0), Partition("f", "math"))
    other = study.model_copy(update={"study": "other"})
    assert query_study(home, other, "select * from trace_pairs").is_empty()


def test_folders_with_odd_names(tmp_path, study, pairs):
    home = Home(tmp_path / "it's a [1] * folder? ü")
    partition = Partition("f", "math")
    path = table_path(home.lake, "sums", "trace_pairs", partition)
    stage_table(TABLES["trace_pairs"], pairs(0), partition, path, Stamp()).publish()
    assert query_study(home, study, "select pair_id from trace_pairs").rows() == [("q:0",)]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("selec 1", "syntax error"),
        ("select * from nothing", "nothing does not exist"),
        ("select nothing from trace_pairs", '"nothing" not found'),
        ("select cast(pair_id as integer) from trace_pairs", "Could not convert string 'q:0'"),
        ("select error('stop')", "stop"),
        ("", "only select statements are allowed"),
        ("-- nothing", "only select statements are allowed"),
    ],
)
def test_what_duckdb_refuses_is_one_line(home, study, publish, pairs, sql, words):
    publish("trace_pairs", pairs(0), Partition("f", "math"))
    with pytest.raises(QueryError, match=r"^query: ") as caught:
        query_study(home, study, sql)
    assert "\n" not in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{table}' (format parquet)",
        "copy (select 1) to '{outside}'",
        "explain analyze copy (select 1) to '{table}'",
        "explain copy (select 1) to '{table}'",
        "select 1; copy (select 1) to '{table}'",
        "export database '{outside}'",
        "attach '{outside}' as other",
        "create table t as select 1",
        "drop view trace_pairs",
        "create or replace view trace_pairs as select 1",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma enable_profiling",
        "call pragma_version()",
        "select * from read_text('{secret}')",
        "select * from '{secret}'",
        "select * from read_csv('{secret}')",
        "select * from glob('{folder}/*')",
        "select * from home",
        "select * from sniff_csv('{secret}')",
    ],
)
def test_a_query_reads_the_tables_and_nothing_else(home, study, publish, pairs, tmp_path, sql):
    publish("trace_pairs", pairs(0), Partition("f", "math"))
    table = table_path(home.lake, study.study, "trace_pairs", Partition("f", "math"))
    before = table.read_bytes()
    (tmp_path / "secret.csv").write_text("secret\nword\n")
    places = {"table": table, "outside": tmp_path / "new", "secret": tmp_path / "secret.csv", "folder": tmp_path}
    with pytest.raises(QueryError, match=r"^query: "):
        query_study(home, study, sql.format(**places))
    assert table.read_bytes() == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "explain select * from trace_pairs",
        "explain analyze select * from trace_pairs",
        "describe trace_pairs",
        "summarize trace_pairs",
        "from trace_pairs",
        "with a as (select 1 as x) select x from a",
        "show tables",
    ],
)
def test_a_query_may_look_at_its_own_working(home, study, publish, pairs, sql):
    publish("trace_pairs", pairs(0), Partition("f", "math"))
    assert query_study(home, study, sql).height
