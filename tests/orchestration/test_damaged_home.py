"""Damage to a home: each file is reported with a remedy, and a run rebuilds a damaged table without model calls."""

import errno
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advcluster_dagster.cli import main as cli
from advcluster_dagster.planning.status import ReasonKind
from advcluster_dagster.storage import faults, table_files
from advcluster_dagster.storage.home import Home
from tests.studies import SmallHome, given_study, ledger_rows, made_once

pytestmark = pytest.mark.integration  # slow: whole runs, end to end

RAW = ("traceback", "magic bytes", "sqlite3", "sqlalche", "arrow", "[sql:", "errno", "invalid input", "polars")
LEDGER_COMMANDS = (("status", "given"), ("audit", "given"), ("ledger", "costs", "given"), ("run", "given"))
COUNT = ("query", "select count(*) from graded_trials", "--study", "given")
AGAIN = "a run makes it again and reuses the model replies in the ledger"


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        assert given_study(root).run(assets=()).failures == {}

    return made_once(tmp_path_factory, "given-with-pages", make)


@pytest.fixture
def given(_finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallHome:
    """A copy of the study `given` with all tables and pages, which the test may modify; commands use it."""
    shutil.copytree(_finished, tmp_path / "home")
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "home"))
    return SmallHome(Home(tmp_path / "home"), "given")


@pytest.fixture
def run(monkeypatch, capfd):
    """Runs a command; returns its exit status and output, and checks that it has no messages of libraries."""

    def command(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["advcluster", *arguments])
        monkeypatch.setenv("COLUMNS", "400")
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        output = " ".join((out + err).split())
        assert not [word for word in RAW if word in output.lower()]
        return ended.value.code or 0, output

    return command


@pytest.fixture
def refuses(run):
    """Runs a command that must fail with a message that names a file and a remedy."""

    def command(arguments, path, remedy) -> None:
        status, output = run(*arguments)
        assert status == 1
        assert "fresh" not in output
        assert str(path) in output
        assert remedy in output

    return command


def _table(small: SmallHome) -> Path:
    return small.home.root / "lake" / "given" / "graded_trials" / "f" / "sums.parquet"


def _ledger(small: SmallHome) -> Path:
    path = small.home.root / "ledger" / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return path


def _garble(path: Path, first: int, n_bytes: int) -> None:
    content = bytearray(path.read_bytes())
    content[first : first + n_bytes] = bytes(value ^ 0x5A for value in content[first : first + n_bytes])
    path.write_bytes(content)


def _cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def _edit(path: Path, keeps_stamp: bool) -> None:
    """Invert the first verdict with another tool."""
    entries, rows = pq.read_metadata(path).metadata, pq.read_table(path)
    index = rows.column_names.index("is_correct")
    verdicts = rows.column(index).to_pylist()
    edited = rows.set_column(index, rows.schema.field(index), pa.array([not verdicts[0], *verdicts[1:]]))
    pq.write_table(edited.replace_schema_metadata(entries if keeps_stamp else None), path)


DAMAGES = {
    "truncated": lambda path: _cut(path, 0.5),
    "cut to nothing": lambda path: _cut(path, 0),
    "rows garbled": lambda path: _garble(path, path.stat().st_size // 20, 200),
    "footer garbled": lambda path: _garble(path, int(path.stat().st_size * 0.8), 200),
    "all garbled": lambda path: _garble(path, 0, 1 << 30),
    "edited": lambda path: _edit(path, keeps_stamp=True),
    "stamp missing": lambda path: _edit(path, keeps_stamp=False),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_named_and_made_again_for_nothing(given, run, refuses, tmp_path, damage):
    path, before, calls = _table(given), given.hashes(), ledger_rows(given.home)
    DAMAGES[damage](path)
    status, output = run("status", "given")
    assert status == 0
    assert f"graded_trials of f/sums is stale: {path} " in output
    assert AGAIN in output
    refuses(COUNT, path, AGAIN)
    refuses(("report", "given"), path, AGAIN)
    refuses(("backup", str(tmp_path / "b.tar.gz")), path, AGAIN)
    assert not (tmp_path / "b.tar.gz").exists()
    status, output = run("run", "given")
    assert (status, "Nothing to do" in output, ", 0 model calls." in output) == (0, False, True)
    assert table_files.content_fault(path) is None
    assert (given.hashes(), ledger_rows(given.home)) == (before, calls)
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]


def test_a_deleted_table_is_named_and_made_again(given, run, refuses):
    path = _table(given)
    path.unlink()
    assert f"graded_trials of f/sums is missing: {path} was made, but is missing; {AGAIN}" in run("status", "given")[1]
    refuses(("report", "given"), path, AGAIN)
    refuses(COUNT, path, f"is missing, but other tables were made from it; {AGAIN}")
    assert ", 0 model calls." in run("run", "given")[1]
    assert path.exists()


def test_another_table_is_still_to_be_asked(given, run):
    _cut(_table(given), 0.5)
    assert run("query", "select count(*) as n from trace_pairs", "--study", "given")[0] == 0


def test_a_copied_home_is_as_fresh_as_it_was(given):
    """A copy without modification times is read again instead, and has the content that was written."""
    for path in given.home.root.rglob("*.parquet"):
        os.utime(path)
    assert given.states() == {"fresh", "no sources"}
    statuses = given.status()
    assert not [
        status for status in statuses.values() for reason in status.reasons if reason.kind == ReasonKind.DAMAGED
    ]


def test_a_clock_that_was_set_back_changes_nothing(given, run):
    for path in given.home.root.rglob("*"):
        os.utime(path, (4e9, 4e9))
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]


def test_a_symlinked_home_is_the_same_home(given, run, monkeypatch, tmp_path):
    (tmp_path / "link").symlink_to(given.home.root)
    monkeypatch.setenv("ADVCLUSTER_HOME", str(tmp_path / "link"))
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]


@pytest.mark.parametrize(
    "damage", [lambda p: _cut(p, 0.5), lambda p: _garble(p, 0, 100), lambda p: _garble(p, 4096, 1 << 30)]
)
def test_a_damaged_ledger_is_refused_and_named(given, refuses, tmp_path, damage):
    path = _ledger(given)
    damage(path)
    for command in (*LEDGER_COMMANDS, ("backup", str(tmp_path / "b.tar.gz"))):
        refuses(command, path, "is damaged; restore it from a backup, or move it away and create an empty one with")


@pytest.mark.parametrize("lose", [Path.unlink, lambda p: _cut(p, 0), lambda p: shutil.rmtree(p.parent)])
def test_a_lost_ledger_is_not_replaced_in_silence(given, run, refuses, lose):
    path = _ledger(given)
    lose(path)
    for command in LEDGER_COMMANDS:
        refuses(command, path, "the call ledger is missing, although the lake holds tables computed from its replies")
    assert ledger_rows(given.home) == []
    assert run("ledger", "new") == (0, f"Created an empty ledger, {path}.")
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]
    refuses(("ledger", "new"), path, "a ledger already exists; move it away first")


def _histories(small: SmallHome) -> list[Path]:
    folder = small.home.dagster / "history"
    return [folder / "runs.db", folder / "runs" / "index.db"]


def test_a_deleted_history_is_recorded_again_for_nothing(given, run):
    calls = ledger_rows(given.home)
    shutil.rmtree(given.home.dagster)
    assert "is not recorded as materialised" in run("status", "given")[1]
    assert ", 0 model calls." in run("run", "given")[1]
    assert ledger_rows(given.home) == calls
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]


@pytest.mark.parametrize("first", [0, 4096])
def test_a_garbled_history_is_refused_and_named(given, run, refuses, first):
    for path in _histories(given):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        _garble(path, first, 100 if first == 0 else 1 << 30)
    for command in (("status", "given"), ("audit", "given"), ("run", "given")):
        refuses(command, given.home.dagster / "history", f"move the folder {given.home.dagster} away")
    given.home.dagster.rename(given.home.dagster.with_name("away"))
    assert ", 0 model calls." in run("run", "given")[1]


@pytest.mark.parametrize("content", [b"a: [\n", b"\xff\xfe\x00: [", b"nothing: of the kind\n"])
def test_a_garbled_dagster_yaml_is_refused_and_named(given, refuses, content):
    path = given.home.dagster / "dagster.yaml"
    path.write_bytes(content)
    refuses(("status", "given"), path, "remove the file to have it written again")


def test_a_garbled_study_file_is_refused_and_named(given, refuses):
    path = given.home.studies / "given.yaml"
    _garble(path, 0, 1 << 20)
    refuses(("status", "given"), path, "not a YAML file")


def test_a_garbled_frozen_taxonomy_is_refused_and_named(given, run, refuses):
    (path,) = (given.home.taxonomies / "given").rglob("*.parquet")
    _garble(path, 100, 1 << 20)
    refuses(("status", "given"), path, "restore it from a backup, or remove it")
    path.unlink()
    assert ", 0 model calls." in run("run", "given")[1]


@pytest.mark.parametrize("name", ["report.html", "report.json", "explorer.html"])
def test_a_garbled_page_is_named_and_written_again(given, run, name):
    path = given.home.reports / "given" / name
    _garble(path, 10, 100)
    assert f"{path} is damaged" in run("status", "given")[1]
    assert ", 0 model calls." in run("run", "given")[1]
    assert "Nothing to do: all that can run is fresh" in run("run", "given")[1]


def test_a_garbled_import_is_refused_and_named(given, refuses):
    path = sorted((given.home.imports / "given" / "traces").rglob("*.parquet"))[0]
    _garble(path, 0, 1 << 20)
    for command in (("status", "given"), ("run", "given")):
        refuses(command, path, "is damaged; import it again")


def test_rows_of_an_import_that_were_garbled_are_not_used(given, refuses):
    path = given.home.imports / "given" / "traces" / "f" / "sums" / "additions" / "larger.parquet"
    _garble(path, 60, 60)
    shutil.rmtree(given.home.root / "lake" / "given" / "larger_traces")
    refuses(("run", "given"), path, "is damaged; import it again")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_table_that_cannot_be_written_is_named(given, run, refuses, monkeypatch, number):
    """The disk of the lake is full, read-only, or another user's; the existing table stays."""
    path, calls = _table(given), ledger_rows(given.home)
    _cut(path, 0.5)

    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(table_files, "_write", refuse)
        refuses(("run", "given"), path, faults._REMEDIES[number][1])
    assert run("run", "given")[0] == 0
    assert ledger_rows(given.home) == calls


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_home_that_cannot_be_written_is_named(given, refuses, monkeypatch, number):
    lock = given.home.dagster / "opening.lock"
    real = os.open

    def refuse(path, *arguments, **options):
        if Path(path) == lock:
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    refuses(("status", "given"), lock, faults._REMEDIES[number][1])


@pytest.mark.parametrize(
    ("words", "named", "remedy"),
    [
        ("database or disk is full", "the disk is full", "free some space"),
        (
            "attempt to write a readonly database",
            "cannot be opened or written",
            "check free disk space and write",
        ),
        ("unable to open database file", "cannot be opened or written", "check free disk space and write"),
        ("database disk image is malformed", "is damaged", "REMEDY"),
        ("file is not a database", "is damaged", "REMEDY"),
    ],
)
def test_what_sqlite_says_in_words_for_people(words, named, remedy):
    line = faults.database_fault(sqlite3.OperationalError(words), "/h/x.db", "REMEDY")
    assert line is not None
    assert line.startswith(f"/h/x.db{' ' if named.startswith('is') else ': '}{named}")
    assert remedy in line


def test_faults_of_other_kinds_keep_their_own_words():
    assert faults.database_fault(sqlite3.OperationalError("no such table: calls"), "/h/x.db", "") is None
    assert faults.system_fault(OSError(errno.ENOENT, "No such file", "/h/x")) is None
