import polars as pl
import pyarrow.parquet as pq
import pytest
from upath import UPath

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.table import ContractError
from advcluster_dagster.storage.content_hash import frame_hash
from advcluster_dagster.storage.table_files import (
    Stamp,
    concat_partitions,
    read_stamp,
    read_table,
    scan_file,
    stage_table,
    table_path,
)
from advcluster_dagster.study.partition import Partition

PAIRS = TABLES["trace_pairs"]
F_MATH = Partition("f", "math")


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("partition", "tail"),
    [
        (Partition("f", "math"), "t/f/math.parquet"),
        (Partition("f.1", "math.v2"), "t/f.1/math.v2.parquet"),
        (Partition("f"), "t/f.parquet"),
        (Partition(domain="math"), "t/math.parquet"),
        (Partition(), "t/all.parquet"),
    ],
)
def test_paths(partition, tail):
    assert str(table_path(UPath("/lake"), "sums", "t", partition)) == f"/lake/sums/{tail}"


def test_nothing_is_visible_before_publishing(lake, pairs):
    path = table_path(lake, "sums", "trace_pairs", F_MATH)
    staged = stage_table(PAIRS, pairs(0, 1), F_MATH, path, Stamp())
    assert not path.exists()
    assert staged.scan().collect().height == 2
    staged.publish()
    assert scan_file(path).collect()["pair_id"].to_list() == ["q:0", "q:1"]
    assert files_below(lake) == ["sums/trace_pairs/f/math.parquet"]


def test_publishing_replaces_and_never_appends(lake, publish, pairs):
    publish("trace_pairs", pairs(0, 1, 2), F_MATH)
    path = publish("trace_pairs", pairs(5), F_MATH)
    assert scan_file(path).collect()["pair_index"].to_list() == [5]


def test_discarding_leaves_the_old_file(lake, publish, pairs):
    path = publish("trace_pairs", pairs(0), F_MATH)
    before = path.read_bytes()
    staged = stage_table(PAIRS, pairs(1), F_MATH, path, Stamp())
    staged.discard()
    staged.discard()
    assert path.read_bytes() == before
    assert files_below(lake) == ["sums/trace_pairs/f/math.parquet"]


def fail_late(frame):
    raise RuntimeError("the source broke while it was read")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda rows: rows.drop("pair_index"), ContractError),
        (lambda rows: rows.with_columns(pair_index=pl.lit("0")), ContractError),
        (lambda rows: rows.with_columns(pair_index=pl.lit(-1)), ContractError),
        (lambda rows: rows.with_columns(pair_id=pl.lit("same")), ContractError),
        (lambda rows: rows.with_columns(family=pl.lit("another")), ContractError),
        (lambda rows: rows.lazy().map_batches(fail_late, schema=rows.schema), Exception),
    ],
    ids=["missing column", "type", "range", "key", "partition", "source fails"],
)
def test_a_broken_frame_leaves_nothing_behind(lake, publish, pairs, change, error):
    path = publish("trace_pairs", pairs(0, 1), F_MATH)
    before = path.read_bytes()
    with pytest.raises(error):
        stage_table(PAIRS, change(pairs(0, 1)), F_MATH, path, Stamp())
    assert path.read_bytes() == before
    assert files_below(lake) == ["sums/trace_pairs/f/math.parquet"]


def test_stamp_returns_as_it_was_written(publish, pairs):
    stamp = Stamp("c0de", "5e77", "9409", {"graded_trials@f/math": "abc"}).with_notes(
        {"reason": "zu wenig Zeilen — 数", "n_failed": 3, "ids": ["a", None], "share": 0.1 + 0.2}
    )
    path = publish("trace_pairs", pairs(0, 1), F_MATH, stamp)
    found = read_stamp(path)
    assert found is not None
    assert (found.code, found.settings, found.prompts) == ("c0de", "5e77", "9409")
    assert found.upstream == stamp.upstream
    assert found.notes == stamp.notes
    assert found.n_rows == 2
    assert found.content_hash == frame_hash(scan_file(path).collect())


def test_equal_rows_have_equal_content_hashes_whatever_made_them(publish, pairs):
    first = read_stamp(publish("trace_pairs", pairs(0, 1), F_MATH, Stamp(code="one")))
    again = read_stamp(publish("trace_pairs", pairs(0, 1), F_MATH, Stamp(code="two")))
    other = read_stamp(publish("trace_pairs", pairs(1, 0), F_MATH, Stamp(code="two")))
    assert first.content_hash == again.content_hash != other.content_hash


def test_no_file_and_a_file_of_others_have_no_stamp(tmp_path):
    assert read_stamp(UPath(tmp_path / "none.parquet")) is None
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "plain.parquet")
    assert read_stamp(UPath(tmp_path / "plain.parquet")) is None


@pytest.mark.parametrize("name", TABLES)
def test_tables_without_rows_are_written_and_read(lake, name):
    table = TABLES[name]
    partition = F_MATH.at(table.level)
    path = table_path(lake, "sums", name, partition)
    stage_table(table, pl.DataFrame(schema=table.schema), partition, path, Stamp()).publish()
    assert scan_file(path).collect().schema == table.schema
    assert read_stamp(path).n_rows == 0


def test_lazy_rows_are_streamed_into_row_groups(lake):
    n_rows = 200_000
    index = pl.int_range(n_rows, dtype=pl.Int64)
    rows = pl.LazyFrame({"nothing": [0]}).select(
        pl.format("q:{}", index.alias("i")).alias("pair_id"),
        pl.lit("q").alias("question_id"),
        *(index.alias(name) for name in ("pair_index", "larger_trial", "smaller_trial")),
        smaller_verdict=pl.lit("wrong"),
    )
    path = table_path(lake, "sums", "trace_pairs", F_MATH)
    stage_table(PAIRS, rows, F_MATH, path, Stamp()).publish()
    footer = pq.read_metadata(str(path))
    assert footer.num_rows == n_rows
    assert max(footer.row_group(i).num_rows for i in range(footer.num_row_groups)) <= 65_536
    expected = rows.with_columns(family=pl.lit("f"), domain=pl.lit("math")).select(PAIRS.schema.names()).collect()
    assert scan_file(path).collect().equals(expected)
    assert read_stamp(path).content_hash == frame_hash(expected)


def test_long_texts_are_written_in_many_batches(lake):
    # 40 rows of 2 MiB each exceed the 32 MiB of one batch, so there are at least three row groups.
    rows = pl.DataFrame(
        {
            "pair_id": [f"q:{i}" for i in range(40)],
            "reason": "no_json",
            "detail": "",
            "raw_reply": [chr(97 + i % 26) * 2**21 for i in range(40)],
        }
    )
    table = TABLES["extraction_failures"]
    path = table_path(lake, "sums", table.name, F_MATH)
    stage_table(table, rows, F_MATH, path, Stamp()).publish()
    assert pq.read_metadata(str(path)).num_row_groups >= 3
    assert scan_file(path).collect()["raw_reply"].equals(rows["raw_reply"])


def vectors(*rows, ids=None):
    embedding = pl.Series(list(rows), dtype=pl.Array(pl.Float32, len(rows[0])))
    return pl.DataFrame(
        {"advantage_id": ids or [f"q:0:{i}" for i in range(len(rows))], "embedding": embedding, "embedder": "e"}
    )


def test_vectors_keep_their_width_in_the_file(publish):
    path = publish("advantage_embeddings", vectors([1, 2, 3], [4, 5, 6]), F_MATH)
    assert scan_file(path).collect_schema()["embedding"] == pl.Array(pl.Float32, 3)
    assert scan_file(path).collect()["embedding"].to_list() == [[1, 2, 3], [4, 5, 6]]


def test_a_table_is_read_in_the_order_of_the_study(lake, study, publish, pairs):
    # The study lists math before biology, and f before g; g/math was never made.
    publish("trace_pairs", pairs(3), Partition("g", "biology"))
    publish("trace_pairs", pairs(2), Partition("f", "biology"))
    publish("trace_pairs", pairs(0, 1), F_MATH)
    publish("trace_pairs", pairs(9), Partition("f", "left-the-study"))
    found = read_table(lake, study, PAIRS)
    assert found["pair_index"].to_list() == [0, 1, 2, 3]
    assert found["domain"].to_list() == ["math", "math", "biology", "biology"]


def test_a_table_never_made_has_no_rows(lake, study):
    found = read_table(lake, study, PAIRS)
    assert found.is_empty()
    assert found.schema == PAIRS.schema


def test_partitions_without_vectors_stand_beside_those_with(lake, study, publish):
    table = TABLES["advantage_embeddings"]
    publish("advantage_embeddings", table.empty().drop("family", "domain"), F_MATH)
    publish("advantage_embeddings", vectors([1, 2]), Partition("f", "biology"))
    found = read_table(lake, study, table)
    assert found["embedding"].to_list() == [[1, 2]]
    assert found.schema["embedding"] == pl.Array(pl.Float32, 2)


def test_vectors_of_two_widths_can_be_looked_at_together():
    table = TABLES["advantage_embeddings"]
    found = concat_partitions(table, [vectors([1, 2]), vectors([1, 2, 3])])
    assert found["embedding"].to_list() == [[1, 2], [1, 2, 3]]


def test_a_scan_stays_what_it_was_when_the_file_is_replaced(publish, pairs):
    rows = scan_file(publish("trace_pairs", pairs(0, 1), F_MATH))
    publish("trace_pairs", pairs(2, 3, 4), F_MATH)
    assert [rows.collect()["pair_index"].to_list() for _ in range(2)] == [[0, 1], [0, 1]]
