"""Expected column lineage of each SQL model."""

import pytest

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.storage.column_lineage import column_lineage
from advcluster_dagster.storage.sql_models import SqlModel, sql_models


def _of(table, *columns):
    return tuple(sorted((table, column) for column in columns))


def _same(table, *columns):
    return {column: _of(table, column) for column in columns}


GRADED, KEY = "graded_trials", ("question_id", "role", "trial")
EXPECTED = {
    "grading_disagreements": {
        **_same(GRADED, "family", "domain", "question_id", "role", "trial", "prediction", "is_correct", "verdict"),
        **_same("benchmark_questions", "answer"),
        "recorded_correct": (("larger_traces", "recorded_correct"), ("smaller_traces", "recorded_correct")),
    },
    "pass_rate_table": {
        **_same(GRADED, "family", "domain", "question_id", "benchmark"),
        # count(*): the key of the rows counted, and what the filter reads
        **dict.fromkeys((f"{role}_n_trials" for role in ROLES), _of(GRADED, *KEY)),
        **dict.fromkeys((f"{role}_n_correct" for role in ROLES), _of(GRADED, *KEY, "is_correct")),
        **dict.fromkeys((f"{role}_n_scored" for role in ROLES), _of(GRADED, "is_correct", "role")),
        **dict.fromkeys((f"{role}_pass_rate" for role in ROLES), _of(GRADED, *KEY, "is_correct")),
        "pass_rate_gap": _of(GRADED, *KEY, "is_correct"),
    },
    "benchmark_accuracy": {
        **_same(GRADED, "family", "domain", "benchmark", "role", "model"),
        "n_questions": _of(GRADED, "question_id", "is_correct"),
        **dict.fromkeys(("n_trials", "mean_accuracy", "std_accuracy"), _of(GRADED, "is_correct")),
    },
    "accuracy_summary": {
        **_same("benchmark_accuracy", "family", "domain", "role", "mean_accuracy", "std_accuracy"),
        "level": (),
    },
    "taxonomy_assignments": {
        **_same("cluster_assignments", "family", "advantage_id", "cluster_id"),
        **_same("advantage_corpus", "domain"),
    },
    "domain_distribution": {
        **_same("final_taxonomy", "family", "cluster_id"),
        "domain": _of("pass_rate_table", "domain"),
        "n_advantages": _of("taxonomy_assignments", "advantage_id"),
        "row_share": (*_of("final_taxonomy", "cluster_id", "family"), ("taxonomy_assignments", "advantage_id")),
        "column_share": (
            ("final_taxonomy", "family"),
            ("pass_rate_table", "domain"),
            ("taxonomy_assignments", "advantage_id"),
        ),
    },
    "edi_summary": {
        **_same(GRADED, "family", "domain", "model"),
        "n_questions": _of("error_dispersion", "question_id"),
        "n_undefined": _of("error_dispersion", "question_id", "edi"),
        "mean_edi": _of("error_dispersion", "edi"),
        "std_edi": _of("error_dispersion", "edi"),
    },
}
LITERALS = {("accuracy_summary", "level")}


def test_every_model_is_written_out():
    assert set(EXPECTED) == set(sql_models()), "write down where the model's columns come from in EXPECTED above"


@pytest.mark.parametrize("name", EXPECTED)
def test_columns_come_from_where_they_should(name):
    assert column_lineage(sql_models()[name]) == EXPECTED[name]


@pytest.mark.parametrize("name", sql_models())
def test_no_column_comes_from_nowhere(name):
    lineage = column_lineage(sql_models()[name])
    assert set(lineage) == set(TABLES[name].schema)
    assert {(name, column) for column, sources in lineage.items() if not sources} <= LITERALS
    for sources in lineage.values():
        assert all(column in TABLES[table].schema for table, column in sources)


def test_counted_rows_windows_and_unions_are_followed_through_parts_of_a_query():
    source = """
        with a as (select pair_id, count(*) as n, row_number() over (partition by question_id order by pair_index) as r
            from {{ ref('trace_pairs') }} group by pair_id, question_id, pair_index),
        b as (select count(*) as k from a union all select count(*) from {{ ref('first_errors') }})
        select a.n, b.k, 1 as one, a.r, sum(b.k) over () as s from a cross join b
    """
    pairs, both = (("trace_pairs", "pair_id"),), (("first_errors", "pair_id"), ("trace_pairs", "pair_id"))
    assert column_lineage(SqlModel("m", source)) == {
        "n": pairs,
        "k": both,
        "one": (),
        "r": (("trace_pairs", "pair_index"), ("trace_pairs", "question_id")),
        "s": both,
    }
