"""Blinded sheets: content, agreement of completed sheets, and rejected sheets."""

import csv
from pathlib import Path

import polars as pl
import pytest

from advcluster_dagster.exports.label_sheets import LabelError, read_sheet, write_sheet
from tests.studies import SmallHome


@pytest.fixture
def sheet(given_once: SmallHome, tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    # 16 pairs (2 domains x 4 questions x 2 trials), each with a first error, and the advantages that have a cluster.
    n_advantages = given_once.table("taxonomy_assignments").height
    assert write_sheet(given_once.home, given_once.study, "f", path) == 16 + min(n_advantages, 50)
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def judged(given_once: SmallHome, rows: list[dict[str, str]]) -> list[str]:
    """The judges' label of each row, looked up in the tables."""
    pairs = given_once.table("first_errors").join(
        given_once.table("trace_pairs").select("pair_id", "smaller_trial"), on="pair_id"
    )
    questions = given_once.table("benchmark_questions").select("domain", "question_id", "prompt")
    traces = given_once.table("smaller_traces").rename({"trial": "smaller_trial"})
    joined = pairs.join(questions, on=["domain", "question_id"]).join(
        traces.select("domain", "question_id", "smaller_trial", "response"),
        on=["domain", "question_id", "smaller_trial"],
    )
    shown = joined.select("prompt", "response", "stage")
    stages = {(prompt, response): stage for prompt, response, stage in shown.iter_rows()}
    tags = dict(given_once.table("final_taxonomy").select("cluster_id", "tag").iter_rows())
    clusters = {
        text: f"#{cluster} {tags[cluster]}"
        for text, cluster in given_once.table("taxonomy_assignments")
        .join(given_once.table("advantage_corpus"), on="advantage_id")
        .select("advantage", "cluster_id")
        .iter_rows()
    }
    return [
        clusters[row["advantage"]] if row["kind"] == "cluster" else stages[row["question"], row["smaller_trace"]]
        for row in rows
    ]


def test_a_sheet_holds_no_answer_of_a_judge(given_once: SmallHome, sheet: Path) -> None:
    rows = rows_of(sheet)
    assert list(rows[0]) == [
        "item_id", "kind", "question", "larger_trace", "smaller_trace", "advantage", "allowed", "label",
    ]  # fmt: skip
    assert {row["label"] for row in rows} == {""}
    assert {row["allowed"] for row in rows if row["kind"] == "stage"} == {
        "Reading | Comprehension | Transformation | Process Skills | Encoding"
    }
    identifiers = {*given_once.table("trace_pairs")["pair_id"], *given_once.table("advantage_corpus")["advantage_id"]}
    assert not identifiers & {row["item_id"] for row in rows}
    again = sheet.with_name("again.csv")
    write_sheet(given_once.home, given_once.study, "f", again)
    assert again.read_bytes() == sheet.read_bytes()


def test_the_judges_own_labels_agree_wholly(given_once: SmallHome, sheet: Path) -> None:
    rows = rows_of(sheet)
    assert [agreement.n_labelled for agreement in read_sheet(given_once.home, given_once.study, "f", sheet)] == [0, 0]
    for row, label in zip(rows, judged(given_once, rows), strict=True):
        row["label"] = label
    write_rows(sheet, rows, delimiter=";")
    for agreement in read_sheet(given_once.home, given_once.study, "f", sheet):
        of_kind = [row["label"] for row in rows if row["kind"] == agreement.kind]
        assert (agreement.n_items, agreement.n_labelled, agreement.share) == (len(of_kind), len(of_kind), 1.0)
        # Kappa corrects for chance, which explains everything where both gave a single label.
        assert agreement.kappa == (1.0 if len(set(of_kind)) > 1 else None)


def test_agreement_by_hand(given_once: SmallHome, sheet: Path) -> None:
    rows = [row for row in rows_of(sheet) if row["kind"] == "stage"]
    expected = judged(given_once, rows)
    for place, (row, of_judge) in enumerate(zip(rows[:4], expected[:4], strict=True)):  # every other label agrees
        row["label"] = of_judge if place % 2 else "Encoding" if of_judge == "Reading" else "Reading"
    write_rows(sheet, rows)
    stage, cluster = read_sheet(given_once.home, given_once.study, "f", sheet)
    assert (stage.n_items, stage.n_labelled, stage.share) == (16, 4, 0.5)
    assert (cluster.n_labelled, cluster.share, cluster.kappa) == (0, None, None)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"label": "a misreading"}, r"row 1, field label: 'a misreading'; allowed: "),
        ({"item_id": "0" * 16}, r"row 1: item '0000000000000000' was not drawn for f"),
        ({"item_id": ""}, r"row 1: item '' was not drawn for f"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_row(
    given_once: SmallHome, sheet: Path, change: dict[str, str], line: str
) -> None:
    rows = rows_of(sheet)
    rows[0] |= change
    write_rows(sheet, rows)
    with pytest.raises(LabelError, match=line):
        read_sheet(given_once.home, given_once.study, "f", sheet)


def test_an_item_with_two_labels_is_refused(given_once: SmallHome, sheet: Path) -> None:
    rows = [row for row in rows_of(sheet) if row["kind"] == "stage"][:1]
    write_rows(sheet, [rows[0] | {"label": "Reading"}, rows[0] | {"label": "Encoding"}])
    with pytest.raises(LabelError, match=r"row 2: item \w+ has two labels"):
        read_sheet(given_once.home, given_once.study, "f", sheet)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a,b\n1,2\n", "column item_id is missing; it has a, b"),
        (b"item_id\nx\n", "column label is missing; it has item_id"),
        (b"", "cannot be read as CSV"),
        (b"\xff\xfe\x00item_id", "cannot be read as CSV"),
        (None, "cannot be read as CSV"),
    ],
)
def test_other_files_are_refused(given_once: SmallHome, tmp_path: Path, content: bytes | None, line: str) -> None:
    path = tmp_path / "other.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelError, match=line):
        read_sheet(given_once.home, given_once.study, "f", path)


def test_an_existing_file_is_kept(given_once: SmallHome, sheet: Path) -> None:
    before = sheet.read_bytes()
    with pytest.raises(LabelError, match="already exists; read it with --read"):
        write_sheet(given_once.home, given_once.study, "f", sheet)
    assert sheet.read_bytes() == before


def test_a_text_that_looks_like_a_formula_stays_a_text(given: SmallHome, tmp_path: Path) -> None:
    path = given.home.lake / "given" / "advantage_corpus"
    for file in Path(str(path)).rglob("*.parquet"):
        rows = pl.read_parquet(file)
        text = pl.lit('=HYPERLINK("http://example.invalid")')
        rows.with_columns(advantage=text).write_parquet(file, metadata=pl.read_parquet_metadata(file))
    write_sheet(given.home, given.study, "f", tmp_path / "sheet.csv")
    cells = {row["advantage"] for row in rows_of(tmp_path / "sheet.csv") if row["kind"] == "cluster"}
    assert cells == {'\'=HYPERLINK("http://example.invalid")'}


def test_a_family_without_results_has_nothing_to_label(given: SmallHome, tmp_path: Path) -> None:
    for table in ("first_errors", "final_taxonomy"):
        for file in Path(str(given.home.lake / "given" / table)).rglob("*.parquet"):
            file.unlink()
    with pytest.raises(LabelError, match="family f has nothing to label yet; run it first"):
        write_sheet(given.home, given.study, "f", tmp_path / "sheet.csv")
