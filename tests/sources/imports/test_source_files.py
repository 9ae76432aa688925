"""Supported and unsupported kinds of files, with one-line errors."""

import gzip
import json
import os

import polars as pl
import pytest

from advcluster_dagster.sources.imports import json_lines
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.evaluation_logs import find_logs
from advcluster_dagster.sources.imports.json_lines import JsonLines
from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.readers import read_imported_questions
from advcluster_dagster.sources.imports.source_files import file_size
from advcluster_dagster.sources.imports.staging import questions_file
from advcluster_dagster.sources.imports.traces import import_traces

ROWS = [
    {"question_id": f"q{number}", "question": f"1 + {number}?", "answer": 1 + number, "answer_type": "numeric"}
    for number in range(3)
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, indent=2).encode()


@pytest.fixture
def only_addition(study):
    return study.model_copy(update={"domains": {"math": ("addition",)}})


READ = {
    "lines": LINES,
    "lines, packed": gzip.compress(LINES),
    "lines, packed in two parts": gzip.compress(LINES[:100]) + gzip.compress(LINES[100:]),
    "array": ARRAY,
    "array, packed": gzip.compress(ARRAY),
    "array with a mark and Windows line ends": b"\xef\xbb\xbf" + ARRAY.replace(b"\n", b"\r\n"),
    "array behind blanks": b"\n  " + ARRAY,
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("file_name", ["q.jsonl", "q.json", "q.jsonl.gz", "q"])
def test_lines_and_arrays_are_read_packed_or_not(name, file_name, tmp_path, only_addition, root):
    path = tmp_path / file_name
    path.write_bytes(READ[name])
    seen = []
    summary = import_questions(
        path, only_addition, "math", "addition", root, lambda done, total: seen.append((done, total))
    )
    assert summary.n_rows == 3
    with path.open("rb") as file:
        assert summary.sha256 == json_lines.hashlib.file_digest(file, "sha256").hexdigest()
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
    assert read_imported_questions(root, only_addition, "math")["answer"].to_list() == ["1", "2", "3"]


BAD = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n \n", "the file contains no questions"),
    "empty, packed": (gzip.compress(b""), "the file contains no questions"),
    "empty array": (b"[]", "the file contains no questions"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer, not the file itself; fetch it"),
    "packed, cut off": (gzip.compress(LINES)[:-20], "the gzip file is truncated"),
    "packed, damaged": (gzip.compress(LINES)[:10] + b"\xff" * 50, "invalid gzip data"),
    "Parquet": (b"PAR1\x15\x04\x15", "cannot be read as Parquet (Parquet file size is 7 bytes"),
    "CSV": (b"question_id,question,answer\nq,?,1\n", "a CSV file; allowed: JSON Lines"),
    "zip": (b"PK\x03\x04....", "a zip archive; allowed"),
    "zstd": (b"\x28\xb5\x2f\xfd....", "a zstd archive; allowed"),
    "SQLite": (b"SQLite format 3\0", "a SQLite database; allowed"),
    "a page": (b"<html>", "HTML or XML; allowed"),
    "UTF-16": (LINES.decode().encode("utf-16"), "UTF-16 or UTF-32 text; allowed: UTF-8; convert it with: iconv"),
    "UTF-16 without a mark": (LINES.decode().encode("utf-16-le"), "UTF-16 or UTF-32 text; allowed: UTF-8"),
    "UTF-32": (LINES.decode().encode("utf-32"), "UTF-16 or UTF-32 text; allowed: UTF-8"),
    "zeros": (bytes(5000), "begins with NUL bytes instead of text"),
    "zeros in the middle": (LINES[:150] + bytes(20) + LINES[150:], "it contains NUL bytes, so the file is damaged"),
    "an object over lines": (json.dumps(ROWS[0], indent=2).encode(), "objects that span several lines are not"),
    "array of texts": (b'["a"]', "item 1: not a JSON object; allowed: an array of objects"),
    "array, cut off": (ARRAY[:-30], "not JSON: "),
    "array and more": (b"[]\n{}", "not JSON: Extra data at line 2, column 1"),
    "half a pair": (json.dumps([ROWS[0] | {"question": "\ud800"}]).encode(), "item 1, field 'question': contains U+"),
    "number": (b"17", "line 1: not a JSON object"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_read_is_named(name, tmp_path, study, root, content):
    data, message = BAD[name]
    path = tmp_path / "q.jsonl"
    path.write_bytes(data)
    with pytest.raises(ImportFileError) as error:
        import_questions(path, study, "math", "addition", root)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert content() == {}


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv"])
def test_tables_of_questions_are_read_as_they_are(tmp_path, study, root, suffix):
    path = tmp_path / f"q.{suffix}"
    frame = pl.DataFrame(ROWS).select("question_id", "question", "answer", "answer_type")
    if suffix == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="," if suffix == "csv" else "\t")
    assert import_questions(path, study, "math", "addition", root).n_rows == 3
    stored = pl.read_parquet(questions_file(root, study.study, "math", "addition"))
    assert stored.select(frame.columns).equals(frame.with_columns(pl.col("answer").cast(pl.String)))


def test_paths_that_are_no_files_are_named(tmp_path, study, root):
    (tmp_path / "file").write_bytes(LINES)
    os.symlink(tmp_path / "gone", tmp_path / "link")
    os.symlink(tmp_path / "circle", tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("", "is a folder; allowed: a file"),
        ("gone", "no such file"),
        ("file/inside", "no such file"),
        ("link", "is a link to "),
        ("circle", "is a link to "),
        ("pipe", "is a pipe or a device; allowed: a file on disk"),
    ):
        for read in (
            lambda path: import_questions(path, study, "math", "addition", root),
            file_size,
            lambda path: list(JsonLines(path)),
        ):
            with pytest.raises(ImportFileError, match=message):
                read(tmp_path / name)
    assert find_logs(tmp_path / "pipe") is None
    os.symlink(tmp_path / "file", tmp_path / "good link")
    assert import_questions(tmp_path / "good link", study, "math", "addition", root).n_rows == 3


def test_a_large_array_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "MAX_ARRAY_BYTES", 100)
    path = tmp_path / "q.json"
    path.write_bytes(ARRAY)
    with pytest.raises(ImportFileError, match=r"a JSON array of more than 0 MiB, which would be read into memory"):
        list(JsonLines(path))


def test_ids_of_every_kind(write, study, root):
    odd = ["a/b", "a:b", "\u00fc", "\u4e2d", "x y", "..", "*", "'", '"', "[red]", "-1", "\U0001f600"]
    rows = [ROWS[0] | {"question_id": name} for name in odd]
    assert import_questions(write(*rows), study, "math", "addition", root).n_rows == len(odd)
    trace = {"model": "small", "trial": 0, "response": "1"}
    path = write(*({"question_id": name, **trace} for name in odd))
    assert import_traces(path, study, "f", "math", "addition", root).n_rows == len(odd)
    for name in ("", "a\nb", "\u200b", "a\x1b[31m", "x" * 301, 5, None, True, ["q"]):
        with pytest.raises(ImportFileError, match="line 1, field 'question_id': ") as error:
            import_questions(write(ROWS[0] | {"question_id": name}), study, "math", "addition", root)
        assert "\x1b" not in str(error.value)


def test_questions_must_be_imported_first_and_the_command_is_named(write, study, root):
    trace = {"question_id": "q0", "model": "small", "trial": 0, "response": "1"}
    message = (
        "no imported questions yet; import those first: advcluster import questions FILE --study sums --domain math "
        "--benchmark addition"
    )
    with pytest.raises(ImportFileError, match=message):
        import_traces(write(trace), study, "f", "math", "addition", root)
    with pytest.raises(ImportFileError, match="questions of benchmark motion are simulated; allowed: benchmarks with"):
        import_traces(write(trace), study, "f", "physics", "motion", root)
