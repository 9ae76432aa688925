import polars as pl

from advcluster_dagster.report.explorer.data import join_evidence
from tests.report.explorer.evidence import as_tables, pair_of


def test_a_pair_carries_question_traces_grades_and_first_error():
    evidence = join_evidence("math", as_tables([pair_of(3)]))
    assert evidence.pairs.to_dicts() == [
        {
            "pair_id": "math-3:0",
            "question_id": "math-3",
            "pair_index": 0,
            "larger_trial": 1,
            "smaller_trial": 0,
            "larger_model": "f-larger",
            "larger_response": "We add one.\n3 + 1 = 4.",
            "larger_finish_reason": "stop",
            "larger_completion_tokens": 9,
            "larger_prediction": "7",
            "larger_verdict": "correct",
            "smaller_model": "f-smaller",
            "smaller_response": "We add two.\n3 + 2 = 5.",
            "smaller_finish_reason": "stop",
            "smaller_completion_tokens": 9,
            "smaller_prediction": "7",
            "smaller_verdict": "wrong",
            "benchmark": "math-set",
            "question": "What is 3 plus one?",
            "answer": "4",
            "stage": "Process Skills",
            "depth": 4,
            "description": "It adds the wrong number.",
            "reason": None,
            "raw_reply": None,
        }
    ]


def test_an_advantage_carries_its_cluster_or_what_it_repeats():
    rows = [pair_of(1), pair_of(2, duplicate_of="math-1:0:0")]
    advantages = join_evidence("math", as_tables(rows)).advantages
    assert advantages.select("advantage_id", "cluster_id", "duplicate_of").rows() == [
        ("math-1:0:0", 1, None),
        ("math-2:0:0", None, "math-1:0:0"),
    ]


def test_a_failed_extraction_keeps_its_pair():
    evidence = join_evidence("math", as_tables([pair_of(1, reason="not_json"), pair_of(2)]))
    assert evidence.pairs.select("pair_id", "stage", "reason", "raw_reply").rows() == [
        ("math-1:0", None, "not_json", "no"),
        ("math-2:0", "Transformation", None, None),
    ]
    assert evidence.advantages["pair_id"].to_list() == ["math-2:0"]


def test_rows_stand_in_the_order_of_questions_and_pairs():
    evidence = join_evidence("math", as_tables(map(pair_of, (7, 3, 5, 4))))
    assert evidence.pairs["pair_id"].to_list() == ["math-3:0", "math-4:0", "math-5:0", "math-7:0"]
    assert evidence.advantages["pair_id"].to_list() == evidence.pairs["pair_id"].to_list()


def test_what_is_gone_is_null_and_no_row_is_lost():
    tables = as_tables([pair_of(1)])
    for gone in ("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "first_errors"):
        tables[gone] = tables[gone].filter(pl.lit(False))
    (pair,) = join_evidence("math", tables).pairs.to_dicts()
    known = {"pair_id": "math-1:0", "question_id": "math-1", "pair_index": 0, "larger_trial": 1, "smaller_trial": 0}
    assert {name: value for name, value in pair.items() if value is not None} == known


def test_no_pairs_give_no_rows():
    evidence = join_evidence("math", as_tables([]))
    assert evidence.pairs.is_empty()
    assert evidence.advantages.is_empty()
