"""Every link of the chain: intact as it was made, broken and named after any change."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict, replace

import dagster as dg
import polars as pl
import pyarrow.parquet as pq
import pytest

from advcluster_dagster.audit.records import AuditError
from advcluster_dagster.audit.verify import RESULTS
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.partition import Partition
from tests.audit.conftest import HERE, audited, change_rows, flip, lines
from tests.studies import SIMULATED, bring_traces, write_study

FAMILY = Partition("orion")


def _ledger(small, sql, *values):
    with closing(sqlite3.connect(small.home.root / "ledger" / "ledger.sqlite")) as connection:
        n_rows = connection.execute(sql, values).rowcount
        connection.commit()
    return n_rows


def test_what_was_sampled_is_intact(made_intact):
    found = audited(made_intact)
    assert lines(found) == []
    assert found.is_intact
    assert found.notes == []
    # 24 questions, 3 trials, two models: one call a trace
    assert found.counts["larger_traces"].n_calls == found.counts["smaller_traces"].n_calls == 72
    n_pairs = made_intact.table("trace_pairs").height
    assert found.counts["advantage_corpus"].n_calls == n_pairs > 0
    assert found.counts["advantage_embeddings"].n_calls == made_intact.table("advantage_corpus").height
    assert found.counts["cluster_summaries"].n_calls == made_intact.table("cluster_summaries").height
    assert found.counts["candidate_reviews"].n_calls == made_intact.table("candidate_reviews").height
    # Choices by name and sets with an intruder; repeated groupings and embedded definitions.
    assert found.counts["name_checks"].n_calls > made_intact.table("name_checks").height
    assert found.counts["themes"].n_calls >= made_intact.study.themes.n_repeats
    assert {*RESULTS, "candidate_reviews", "extraction_failures", "grading_panel"} <= set(found.counts) <= set(TABLES)


def test_what_was_imported_is_intact(given_once):
    found = audited(given_once)
    assert lines(found) == []
    assert found.counts["larger_traces"].n_files == 2  # nothing was imported for the third domain
    assert found.counts["larger_traces"].n_calls == 0


def test_what_was_asked_with_a_system_prompt_is_intact(tmp_path):
    models = SIMULATED["families"]["orion"]
    ways = {
        "larger": models["smaller"] | {"label": "told to think", "system_prompt": "Think first."},
        "smaller": models["smaller"] | {"label": "told nothing"},
    }
    small = write_study(tmp_path / "home", SIMULATED | {"families": {"orion": ways}})
    assert small.run(("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials")).failures == {}
    found = audited(small, [("graded_trials", HERE)])
    assert (lines(found), found.notes) == ([], [])
    assert found.counts["larger_traces"].n_calls == found.counts["smaller_traces"].n_calls == 72
    model = small.study.families["orion"].larger
    (request,) = small.step("larger_traces", HERE).models.chat(model, [(Message("user", "1 + 1?"),)])
    assert [(message.role, message.content) for message in request.messages] == [
        ("system", "Think first."),
        ("user", "1 + 1?"),
    ]
    # The same weights and questions: without the system prompt they are other calls, not the same ones again.
    with closing(sqlite3.connect(small.home.root / "ledger" / "ledger.sqlite")) as connection:
        assert connection.execute("select count(*) from calls").fetchone() == (144,)


def test_an_index_alone_reaches_no_clusters(made_intact):
    found = audited(made_intact, [("edi_summary", HERE)])
    assert found.is_intact
    assert "final_taxonomy" not in found.counts
    assert found.counts["larger_traces"].n_files == 1


def test_nothing_made_is_nothing_to_audit(tmp_path):
    with pytest.raises(AuditError, match=r"^study made: nothing to audit yet; run the study first$"):
        audited(write_study(tmp_path / "home", SIMULATED))


def test_a_changed_response_names_its_trace(made):
    def change(rows):
        is_it = (pl.col("question_id") == "worked-math-002") & (pl.col("trial") == 1)
        return rows.with_columns(response=pl.when(is_it).then(pl.col("response") + ".").otherwise("response"))

    change_rows(made.path("smaller_traces", HERE), change)
    whole, row = lines(audited(made, [("edi_summary", HERE)]))
    assert whole.startswith("smaller_traces of orion/math: content hash mismatch: expected ")
    assert row.startswith("smaller_traces of orion/math, question_id worked-math-002, trial 1: response of the trace ")


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999])
def test_any_changed_byte_of_a_trace_file_is_found_and_the_traces_it_hit_are_named(made, share):
    path = made.path("larger_traces", HERE)
    before = pl.read_parquet(path)
    flip(path, int(share * path.stat().st_size))
    found = audited(made, [("edi_summary", HERE)])
    assert {broken.table for broken in found.breaks} == {"larger_traces"}
    assert found.breaks[0].row is None
    named = {(b.row["question_id"], b.row["trial"]) for b in found.breaks if b.row}
    keys = {*before.select("question_id", "trial").iter_rows()}
    file = found.files["larger_traces"][HERE]
    if "outside of its rows" in found.breaks[0].fault:
        assert named == set()
        assert file.rows.equals(before.drop("response"))
    elif named:
        # A byte of an identifier renames its rows: they are named as the file now names them.
        assert named <= keys | {*file.rows.select("question_id", "trial").iter_rows()}
    else:
        assert "content hash" in found.breaks[0].fault  # a column that says nothing about an answer


def test_rows_that_cannot_be_read_are_named_one_by_one(made):
    path = made.path("larger_traces", HERE)
    metadata = pq.read_metadata(path)
    (column,) = (
        metadata.row_group(0).column(place)
        for place in range(metadata.num_columns)
        if metadata.row_group(0).column(place).path_in_schema == "response"
    )
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    content[start : start + 8] = bytes(8)  # the header of the page that holds the responses
    path.write_bytes(bytes(content))
    first, *rows = audited(made, [("edi_summary", HERE)]).breaks
    n_rows = metadata.row_group(0).num_rows
    assert first.fault == f"rows 0 to {n_rows - 1} cannot be read"
    assert len(rows) == n_rows
    assert {row.fault for row in rows} == {"the trace can no longer be read"}
    assert {"question_id": "worked-math-000", "trial": 0} in [row.row for row in rows]


def test_a_file_cut_short_names_all_its_traces(made):
    path = made.path("larger_traces", HERE)
    path.write_bytes(path.read_bytes()[:-1000])
    first, *rows = audited(made, [("edi_summary", HERE)]).breaks
    assert first.fault == "the file cannot be read: its footer is damaged"
    assert len(rows) == 72


def test_a_missing_file_is_named(made):
    made.path("trace_pairs", HERE).unlink()
    assert "trace_pairs of orion/math: the file is missing" in lines(audited(made))


@pytest.mark.parametrize(
    ("table", "partition", "column", "key"),
    [
        ("advantage_corpus", HERE, "evidence", "pair_id "),
        ("first_errors", HERE, "description", "pair_id "),
        ("cluster_summaries", FAMILY, "definition", "pca_dim "),
    ],
)
def test_a_changed_text_of_a_judge_is_named(made, table, partition, column, key):
    def change(rows):
        first = pl.int_range(pl.len()) == 0
        return rows.with_columns(pl.when(first).then(pl.lit("tampered with")).otherwise(column).alias(column))

    change_rows(made.path(table, partition), change)
    found = lines(audited(made))
    assert any(line.startswith(f"{table} of {partition.label}: content hash mismatch: ") for line in found)
    assert any(line.startswith(f"{table} of {partition.label}, {key}") and "in the ledger" in line for line in found)


def test_a_changed_vector_is_named(made):
    path = made.path("advantage_embeddings", HERE)
    width = pl.read_parquet_schema(path)["embedding"]

    def change(rows):
        vectors = rows["embedding"].to_list()
        vectors[1][0] += 1e-3
        return rows.with_columns(embedding=pl.Series(vectors, dtype=width))

    advantage_id = pl.read_parquet(path)["advantage_id"][1]
    change_rows(path, change)
    (line,) = (line for line in lines(audited(made)) if "the vector" in line)
    assert line.startswith(f"advantage_embeddings of orion/math, advantage_id {advantage_id}: the vector differs")


def test_a_changed_score_is_named(made):
    change_rows(made.path("candidate_reviews", FAMILY), lambda rows: rows.with_columns(total=pl.col("total") - 1))
    assert any("scores differ from the reply in the ledger" in line for line in lines(audited(made)))


def test_a_cluster_given_to_an_advantage_by_hand_is_found(made):
    change_rows(
        made.path("taxonomy_assignments", FAMILY),
        lambda rows: rows.with_columns(cluster_id=pl.lit(0, dtype=pl.Int64)),
    )
    found = lines(audited(made))
    assert any("cluster_assignments has no such row: advantage_id" in line for line in found)


def test_a_changed_reply_in_the_ledger_names_its_trace(made):
    sql = 'update calls set reply = replace(reply, \'"text": "\', \'"text": "So. \') where rowid in'
    sql += " (select rowid from calls where model = 'orion-small' limit 1)"
    assert _ledger(made, sql) == 1
    (line,) = (line for line in lines(audited(made, [("edi_summary", HERE)])) if line.startswith("smaller_traces"))
    assert "response of the trace differs from the ledger's reply" in line


def test_a_changed_question_in_the_ledger_is_found(made):
    sql = "update calls set request = replace(request, '\"trial\": 0', '\"trial\": 9') where rowid in"
    sql += " (select rowid from calls where model = 'orion-small' and request like '%\"trial\": 0%' limit 1)"
    assert _ledger(made, sql) == 1
    found = lines(audited(made, [("edi_summary", HERE)]))
    assert any("does not have the id of its request" in line for line in found)
    assert any("trial 0: the ledger has no call for it that this table used" in line for line in found)


def test_an_entry_that_is_no_record_any_more_is_found(made):
    assert _ledger(made, "update calls set reply = '{' where kind = 'embedding'") > 0
    assert any("in the ledger cannot be read" in line for line in lines(audited(made)))


def test_calls_that_left_the_ledger_are_missed(made):
    assert _ledger(made, "delete from calls where model = 'analyst'") > 0
    found = audited(made)
    n_pairs = made.table("trace_pairs").height
    assert sum("the ledger has no call for it" in line for line in lines(found)) >= n_pairs
    assert found.counts["advantage_corpus"].n_breaks == n_pairs


def test_other_upstream_rows_than_were_read_are_found(made):
    made.change(question_set={"min_gap": 0.3})  # questions that differ in one of three trials come in, too
    made.run(assets=("analysis_question_set",))
    found = lines(audited(made))
    assert any(
        line.startswith("trace_pairs of orion/math: was made from an earlier version of analysis_question_set of")
        for line in found
    )


def test_a_file_that_the_event_log_does_not_know_is_found(made):
    with made.instance() as instance:
        instance.wipe_assets([dg.AssetKey(["made", "first_errors"])])
    (line,) = lines(audited(made))
    why = "no materialisation in the event log; run the study, which records it without model calls"
    assert line == f"first_errors of orion/math: {why}"


def test_a_stamp_that_was_rewritten_is_found(made):
    path = made.path("trace_pairs", HERE)
    stamp = made.stamp("trace_pairs", HERE)
    forged = replace(stamp, settings="0" * 16)
    rows = pl.read_parquet(path).to_arrow()
    with pq.ParquetWriter(path, rows.schema) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({"advcluster_stamp": json.dumps(asdict(forged))})
    assert lines(audited(made)) == [
        "trace_pairs of orion/math: the file was changed outside of its rows; the rows are as written",
        "trace_pairs of orion/math: settings in the file's stamp differs from the event log",
    ]


def test_a_changed_imported_row_names_its_trace(given):
    path = given.home.imports / "given" / "traces" / "f" / "sums" / "additions" / "smaller.parquet"
    metadata = pq.read_metadata(path).metadata
    rows = pl.read_parquet(path)
    changed = rows.with_columns(
        response=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("another")).otherwise("response")
    ).to_arrow()
    with pq.ParquetWriter(path, changed.schema) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata({"advcluster_import": metadata[b"advcluster_import"].decode()})
    (line,) = lines(audited(given))
    question_id, trial = rows.row(3, named=True)["question_id"], rows.row(3, named=True)["trial"]
    assert line == (
        f"smaller_traces of f/sums, question_id {question_id}, trial {trial}: response of the trace differs from the"
        " imported row"
    )


def test_a_damaged_import_names_the_traces_it_lost(given):
    path = given.home.imports / "given" / "traces" / "f" / "sums" / "additions" / "smaller.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    first, *rows = audited(given).breaks
    assert first.fault == "imports of additions, smaller.parquet: the file cannot be read: its footer is damaged"
    assert len(rows) == 12  # 6 questions, 2 trials


def test_traces_imported_again_are_said_to_be_others(given):
    bring_traces(given, "sums", n_kept=5)
    assert [line.split(": ", 1)[1] for line in lines(audited(given))] == [
        "imports of additions, larger.parquet: imported again since these traces were copied from it",
        "imports of additions, smaller.parquet: imported again since these traces were copied from it",
    ]


def test_results_are_tables_that_clusters_and_indices_stand_in():
    assert set(RESULTS) <= set(TABLES)
