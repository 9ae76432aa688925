"""Records of any form: paths and constants, common field names, trials, ids, inferred answer types."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.field_map import FieldMap, complete_map, parse_map
from advcluster_dagster.sources.imports.mapped_questions import infer_answer_type
from advcluster_dagster.sources.imports.mapped_records import MappedRecords
from advcluster_dagster.sources.imports.records import read_records
from tests.studies import write_lines


def log(tmp_path: Path, rows: list[dict[str, Any]], *entries: str) -> MappedRecords:
    write_lines(tmp_path / "rows.jsonl", rows)
    return MappedRecords(tmp_path / "rows.jsonl", parse_map(entries))


def test_paths_and_constants() -> None:
    chosen = parse_map(["response=choices[0].message.content", "answer = meta.gold", "trial=3", "answer_type='text'"])
    record = {"choices": [{"message": {"content": "hi"}}], "meta": {"gold": "x"}}
    names = ("response", "answer", "trial", "answer_type")
    assert [chosen.value(record, name) for name in names] == ["hi", "x", 3, "text"]
    assert chosen.value({"choices": []}, "response") is None
    assert chosen.value({"choices": {"0": 1}}, "response") is None


@pytest.mark.parametrize(
    ("entries", "line"),
    [(["a"], "allowed: column=field"), (["response="], "allowed: column=field"), (["x=y"], "column 'x'; allowed: "),
     (["trial=0", "trial=t"], "column trial is given twice")],
)  # fmt: skip
def test_entries_that_mean_nothing_are_refused(entries: list[str], line: str) -> None:
    with pytest.raises(ImportFileError, match=line):
        parse_map(entries)


def test_usual_names_fill_what_is_left_open_and_no_field_is_taken_twice() -> None:
    first = {"prompt": "p", "output": "o", "target": "t", "id": 1}
    chosen = complete_map(parse_map(["question=output"]), first, "f, line 1")
    assert chosen.paths == {"question": ("output",), "question_id": ("id",), "answer": ("target",)}
    with pytest.raises(ImportFileError, match=r"--map answer=a\.b, but there is no such field; it has prompt, "):
        complete_map(parse_map(["answer=a.b"]), first, "f, line 1")


def test_rows_are_trials_in_turn_and_lists_are_several(tmp_path: Path) -> None:
    rows = [{"id": "a", "output": ["1", None]}, {"id": "b", "output": "2"}, {"id": "a", "output": "3"}]
    actual = [(t.ids[-1], t.trial, t.trace["response"]) for t in log(tmp_path, rows).trials("bench")]
    assert actual == [("a", 0, "1"), ("a", 1, None), ("b", 0, "2"), ("a", 2, "3")]


def test_numbers_of_trials_are_kept_where_they_are_given(tmp_path: Path) -> None:
    rows = [{"id": "a", "epoch": "4", "output": "x"}]
    assert [t.trial for t in log(tmp_path, rows).trials("bench")] == [4]
    with pytest.raises(ImportFileError, match=r"line 1, field 'epoch': -1; allowed: 0, 1, 2"):
        list(log(tmp_path, [{"id": "a", "epoch": -1, "output": "x"}]).trials("bench"))


def test_ids_that_only_count_begin_with_the_benchmark_and_texts_identify_too(tmp_path: Path) -> None:
    assert [t.ids for t in log(tmp_path, [{"id": 7, "output": "x"}]).trials("bench")] == [("7", "bench-7")]
    rows = [
        {"question": "1+1?", "output": "x"},
        {"question": "1+1?", "output": "y"},
        {"question": "2+2?", "output": "z"},
    ]
    names = [t.ids[-1] for t in log(tmp_path, rows).trials("bench")]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("bench-")


def test_what_a_trace_may_say_is_read_from_text_too(tmp_path: Path) -> None:
    rows = [{"id": "a", "output": "x", "is_correct": "True", "output_tokens": "12", "stop_reason": "length"}]
    (trial,) = log(tmp_path, rows).trials("bench")
    expected = {"recorded_correct": True, "completion_tokens": 12, "finish_reason": "length"}
    assert trial.trace == {"response": "x", **expected}


def test_marks_of_gsm8k_are_no_part_of_the_gold_answer(tmp_path: Path) -> None:
    rows = [{"id": "a", "output": "x", "answer": "#### 18"}, {"id": "b", "output": "x", "answer": "# 1,200"}]
    opened = log(tmp_path, rows)
    assert [t.question["answer"] for t in opened.trials("bench")] == ["18", "1,200"]
    assert {t.question["answer_type"] for t in opened.trials("bench")} == {"numeric"}


@pytest.mark.parametrize(
    ("golds", "kind"),
    [
        (["1", "-2.5", "3e4", "12%"], "numeric"),
        (["A", "(B)", "J"], "choice"),
        (["[1]", "{'a': 2}", "7", "'x'"], "python_output"),
        ([r"\frac{1}{2}", "x^2", "4"], "math"),
        (["Paris", "the Nile"], "text"),
        ([], "text"),
        ([None], "text"),
    ],
)
def test_what_gold_answers_look_like(golds: list[Any], kind: str) -> None:
    assert infer_answer_type(golds) == kind


@given(st.lists(st.text("ab,\"\n ;'", max_size=8).filter(lambda text: "\r" not in text), min_size=1, max_size=4))
def test_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    import csv

    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "output"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows({"id": str(number), "output": text} for number, text in enumerate(texts))
    assert [record["output"] or "" for _, record in read_records(path)] == texts


def test_tables_that_are_cut_off_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,output\n1\n")
    with pytest.raises(ImportFileError, match=r"rows\.csv, row 1: has more or fewer cells"):
        list(read_records(tmp_path / "rows.csv"))
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ImportFileError, match=r"rows\.parquet: cannot be read as Parquet"):
        list(read_records(tmp_path / "rows.parquet"))


def test_an_empty_map_reads_nothing() -> None:
    assert FieldMap({}, {}).value({"response": "x"}, "response") is None
