import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.table import Column, ContractError, Table

SAMPLES = Table(
    "samples",
    "family_domain",
    "Samples of a partition.",
    ("sample_id",),
    (
        Column("sample_id", pl.String(), "Id."),
        Column("score", pl.Float64(), "Score.", True, 0, 1),
        Column("n_votes", pl.Int64(), "Votes.", minimum=0),
        Column("label", pl.String(), "Label.", is_nullable=True, allowed=("good", "bad")),
        Column("vector", pl.List(pl.Float32()), "Vector.", is_nullable=True),
    ),
)
PARTITION = {"family": "f", "domain": "d"}


def samples(n_rows=2, **columns):
    """Rows that satisfy the contract, with the given columns replaced."""
    plain = {
        "sample_id": [f"s{i}" for i in range(n_rows)],
        "score": [0.5] * n_rows,
        "n_votes": [1] * n_rows,
        "label": ["good"] * n_rows,
        "vector": pl.Series([[1.0, 2.0]] * n_rows, dtype=pl.List(pl.Float32)),
    }
    return pl.DataFrame({**plain, **columns})


def conformed(frame):
    return SAMPLES.conform(frame.lazy(), PARTITION)


def faults(**columns):
    n_rows = len(next(iter(columns.values()))) if columns else 2
    return SAMPLES.faults(conformed(samples(n_rows, **columns)), PARTITION)


def test_partition_columns_come_first_and_the_rest_in_declared_order():
    frame = conformed(samples().select(reversed(samples().columns))).collect()
    assert frame.columns == ["family", "domain", "sample_id", "score", "n_votes", "label", "vector"]
    assert frame.select("family", "domain").rows() == [("f", "d")] * 2
    assert frame.schema == SAMPLES.schema


@pytest.mark.parametrize(
    ("level", "columns"),
    [("study", ()), ("domain", ("domain",)), ("family", ("family",)), ("family_domain", ("family", "domain"))],
)
def test_each_level_has_its_partition_columns(level, columns):
    table = Table("t", level, "T.", ("a",), (Column("a", pl.Int64(), "A."),))
    assert table.partition_columns == columns
    assert table.empty().columns == [*columns, "a"]


def test_a_declared_column_replaces_the_partition_column_of_its_name():
    domain = Column("domain", pl.String(), "Declared.", allowed=("d",))
    table = Table("t", "domain", "T.", ("domain",), (Column("a", pl.Int64(), "A."), domain))
    assert [column.description for column in table.all_columns] == ["A.", "Declared."]
    assert table.conform(pl.LazyFrame({"a": [1]}), {"domain": "d"}).collect().rows() == [(1, "d")]


def test_missing_and_unknown_columns_are_named_in_one_line():
    with pytest.raises(ContractError) as caught:
        conformed(samples().drop("score", "label").with_columns(extra=1))
    assert str(caught.value) == "table samples: missing columns ['score', 'label'], unknown columns ['extra']"
    assert caught.value.table == "samples"


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("n_votes", pl.Series([1, 2], dtype=pl.UInt8), [1, 2]),
        ("n_votes", pl.Series([1, 2], dtype=pl.Int32), [1, 2]),
        ("score", pl.Series([0, 1], dtype=pl.Int64), [0.0, 1.0]),
        ("score", pl.Series([0.25, 1.0], dtype=pl.Float32), [0.25, 1.0]),
        ("score", [None, None], [None, None]),
        ("label", [None, None], [None, None]),
        ("vector", [[], []], [[], []]),
        ("vector", [None, None], [None, None]),
    ],
)
def test_types_are_cast_where_no_value_changes(column, values, expected):
    frame = conformed(samples(**{column: values})).collect()
    assert frame.schema == SAMPLES.schema
    assert frame[column].to_list() == expected


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("n_votes", [1.0, 2.0]),
        ("n_votes", ["1", "2"]),
        ("n_votes", [True, False]),
        ("score", ["0.5", "0.5"]),
        ("sample_id", [1, 2]),
        ("label", pl.Series(["good", "bad"], dtype=pl.Categorical)),
        ("vector", pl.Series([[1.0], [2.0]], dtype=pl.List(pl.Float64))),
        ("vector", pl.Series([[1.0], [2.0]], dtype=pl.Array(pl.Float64, 1))),
        ("vector", [1.0, 2.0]),
    ],
)
def test_other_types_are_refused_with_both_named(column, values):
    expected = SAMPLES.schema[column]
    with pytest.raises(ContractError, match=f"^table samples: column {column} has type .*") as caught:
        conformed(samples(**{column: values}))
    assert str(caught.value).endswith(f"expected {expected}")


def test_vectors_of_one_width_keep_it():
    vectors = pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float32, 2))
    frame = conformed(samples(vector=vectors))
    assert frame.collect_schema()["vector"] == pl.Array(pl.Float32, 2)
    assert SAMPLES.faults(frame) == []


def test_a_frame_without_rows_keeps_the_contract():
    assert SAMPLES.faults(SAMPLES.empty().lazy(), PARTITION) == []


def test_nullable_columns_may_hold_nothing_at_all():
    assert faults(score=[None, None], label=[None, None], vector=[None, None]) == []


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"score": [0.0, 1.0]}, []),  # bounds are inclusive
        ({"score": [-0.001, 1.001]}, ["score is below 0 in 1 rows", "score is above 1 in 1 rows"]),
        ({"score": [math.inf, -math.inf]}, [
            "score is not a finite number in 2 rows", "score is below 0 in 1 rows", "score is above 1 in 1 rows",
        ]),
        ({"n_votes": [0, None]}, ["n_votes is null in 1 rows"]),
        ({"n_votes": [None, None]}, ["n_votes is null in 2 rows"]),
        ({"n_votes": [-1, -5, 3]}, ["n_votes is below 0 in 2 rows"]),
        ({"label": ["good", "Bad", None, ""]}, ["label is not one of good, bad in 2 rows"]),
    ],
)  # fmt: skip
def test_faults_of_content_are_counted(columns, expected):
    assert faults(**columns) == expected


def test_not_a_number_is_a_fault():
    assert faults(score=[math.nan, 0.5])[0] == "score is not a finite number in 1 rows"


def test_repeated_keys_are_counted_with_an_example():
    # s0 occurs three times, s1 twice, s2 once: two keys occur more than once.
    messages = faults(sample_id=["s0", "s0", "s0", "s1", "s1", "s2"])
    assert len(messages) == 1
    assert messages[0].startswith("key (sample_id) has 2 duplicated values, first ('f', 'd', 's")


def test_equal_keys_in_different_partitions_are_different_keys():
    frame = conformed(samples(1))
    other_frame = SAMPLES.conform(samples(1).lazy(), {"family": "f", "domain": "other"})
    assert SAMPLES.faults(pl.concat([frame, other_frame])) == []
    assert len(SAMPLES.faults(pl.concat([frame, frame]))) == 1


def test_rows_of_another_partition_are_a_fault():
    frame = conformed(samples(3).with_columns(family=pl.Series(["f", "g", "h"])))
    assert SAMPLES.faults(frame, PARTITION) == ["family is not f in 2 rows"]
    assert SAMPLES.faults(frame) == []


def test_check_raises_all_faults_in_one_line():
    frame = conformed(samples(n_votes=[-1, -1], label=["odd", "odd"]))
    with pytest.raises(ContractError) as caught:
        SAMPLES.check(frame)
    assert str(caught.value) == "table samples: n_votes is below 0 in 2 rows; label is not one of good, bad in 2 rows"


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -0.0, 1.0])), max_size=8))
def test_scores_are_faultless_exactly_when_null_or_in_range(scores):
    is_fine = all(score is None or 0 <= score <= 1 for score in scores)
    columns = Column("row", pl.Int64(), "R."), Column("score", pl.Float64(), "S.", True, 0, 1)
    table = Table("t", "study", "T.", ("row",), columns)
    messages = table.faults(pl.DataFrame({"row": range(len(scores)), "score": scores}, schema=table.schema).lazy())
    assert (messages == []) == is_fine


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (Column("a", pl.Int64(), "A."), ""),
        (Column("a", pl.Int64(), "A.", minimum=0), "at least 0"),
        (Column("a", pl.Int64(), "A.", maximum=4), "at most 4"),
        (Column("a", pl.Float64(), "A.", minimum=-1, maximum=0.5), "-1 to 0.5"),
        (Column("a", pl.String(), "A.", allowed=("x", "y")), "one of x, y"),
    ],
)
def test_constraints_in_words(column, words):
    assert column.constraint == words


@pytest.mark.parametrize("key", [(), ("b",), ("a", "family")])
def test_a_key_that_names_no_column_is_refused(key):
    with pytest.raises(ValueError, match=r"^table t: key is .*; name at least one of its columns"):
        Table("t", "study", "T.", key, (Column("a", pl.Int64(), "A."),))
