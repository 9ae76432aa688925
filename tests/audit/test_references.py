"""References and counts between tables, on rows made by hand."""

from pathlib import Path

import polars as pl
import pytest
from upath import UPath

from advcluster_dagster.audit.files import TableFile
from advcluster_dagster.audit.records import TableCount
from advcluster_dagster.audit.references import RECOUNTS, REFERENCES, Rows, check_references
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.study.partition import Partition

HERE, THERE = Partition("f", "math"), Partition("f", "physics")


def _rows(**tables):
    """Rows of tables by partition; columns that a row leaves out hold null."""
    files = {}
    for table, by_partition in tables.items():
        files[table] = {}
        for partition, rows in by_partition.items():
            full = [{**dict.fromkeys(TABLES[table].schema), **partition.columns, **row} for row in rows]
            frame = pl.DataFrame(full, schema=TABLES[table].schema, orient="row")
            files[table][partition] = TableFile(table, partition, UPath(Path("x.parquet")), rows=frame)
    return Rows(files)


def _check(rows):
    counts = {table: TableCount(table) for table in rows.files}
    return check_references(rows, counts), counts


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: f"{r.table}-{r.target}")
def test_references_are_between_columns_that_exist(reference):
    assert set(reference.columns) <= set(TABLES[reference.table].schema)
    assert set(reference.columns.values()) <= set(TABLES[reference.target].schema)
    # Family or domain keep rows apart, as columns of a table or of its partitions; a study has themes of its own.
    places = [{"family", "domain"} & set(TABLES[name].schema) for name in (reference.table, reference.target)]
    assert places[0] & places[1] or TABLES[reference.target].level == "study"


@pytest.mark.parametrize("recount", RECOUNTS, ids=lambda r: f"{r.table}.{r.column}")
def test_counts_are_of_columns_that_exist(recount):
    assert TABLES[recount.table].schema[recount.column] == pl.Int64
    assert set(recount.by) <= set(TABLES[recount.table].schema) & set(TABLES[recount.source].schema)


def test_a_row_without_its_target_is_named_within_its_own_partition():
    pairs = [{"pair_id": "q:0", "question_id": "q"}]
    errors = {
        HERE: [{"pair_id": "q:0", "question_id": "q", "depth": 1}],
        THERE: [{"pair_id": "q:0", "question_id": "q"}],
    }
    found, counts = _check(_rows(trace_pairs={HERE: pairs, THERE: []}, first_errors=errors))
    (line,) = found
    assert line.line == "first_errors of f/physics, pair_id q:0: trace_pairs has no such row: pair_id q:0 question_id q"
    assert counts["first_errors"].n_references == 2


def test_nulls_refer_to_nothing_and_lists_to_each_of_their_values():
    kept = {"advantage_id": "a", "is_kept": True}
    dropped = [{"advantage_id": "b", "is_kept": False, "duplicate_of": "a"}, {"advantage_id": "c", "duplicate_of": "b"}]
    found, _ = _check(_rows(deduplicated_advantages={HERE: [kept, *dropped]}))
    assert [line.row for line in found] == [{"advantage_id": "c"}]  # b was dropped itself
    shown = {"pca_dim": 2, "n_clusters": 2, "cluster_id": 0, "shown_ids": ["a", "z"]}
    corpus = {HERE: [{"advantage_id": "a"}]}
    found, counts = _check(_rows(cluster_summaries={Partition("f"): [shown]}, advantage_corpus=corpus))
    assert [line.fault for line in found] == ["advantage_corpus has no such row: shown_ids z"]
    assert counts["cluster_summaries"].n_references == 2


def test_a_pair_must_be_of_a_right_and_a_wrong_trace():
    graded = [
        {"question_id": "q", "role": "larger", "trial": 0, "is_correct": True},
        {"question_id": "q", "role": "smaller", "trial": 1, "is_correct": True},
    ]
    pair = {"pair_id": "q:0", "question_id": "q", "larger_trial": 0, "smaller_trial": 1}
    (line,), _ = _check(_rows(graded_trials={HERE: graded}, trace_pairs={HERE: [pair]}))
    assert line.fault == "graded_trials has no such row: question_id q smaller_trial 1"


def test_counts_are_counted_again():
    cells = [
        {"cluster_id": 0, "domain": "math", "n_advantages": 2},
        {"cluster_id": 0, "domain": "physics", "n_advantages": 0},
        {"cluster_id": 1, "domain": "math", "n_advantages": 0},  # one stands there
    ]
    assigned = [{"advantage_id": name, "domain": "math", "cluster_id": c} for name, c in (("a", 0), ("b", 0), ("c", 1))]
    family = Partition("f")
    found, _ = _check(_rows(domain_distribution={family: cells}, taxonomy_assignments={family: assigned}))
    (line,) = found
    assert line.row == {"cluster_id": 1, "domain": "math"}
    assert line.fault == "n_advantages is 0, taxonomy_assignments has 1 such rows"


def test_what_a_broken_file_lacks_is_not_told_twice():
    rows = _rows(
        trace_pairs={HERE: [], THERE: []},
        first_errors={p: [{"pair_id": "q:0", "question_id": "q"}] for p in (HERE, THERE)},
    )
    rows.files["trace_pairs"][HERE].add("cannot be read")
    assert [line.partition for line in check_references(rows, {t: TableCount(t) for t in rows.files})] == [THERE]


def test_tables_without_rows_have_no_faults():
    rows = _rows(**{table: {} for table in TABLES})
    assert _check(rows)[0] == []
