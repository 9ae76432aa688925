import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from advcluster_dagster.storage.backup import BackupError, back_up, restore
from advcluster_dagster.storage.home import Home
from tests.studies import SmallHome, content_hashes, ledger_rows


def history(home: SmallHome) -> list[tuple[str, str]]:
    with home.instance() as instance:
        return sorted((run.run_id, run.status.value) for run in instance.get_runs())


def test_a_wiped_home_comes_back_as_it_was(given: SmallHome, tmp_path: Path) -> None:
    tables = content_hashes(given.home, given.study)
    ledger, runs, states = ledger_rows(given.home), history(given), given.states()
    written = back_up(given.home, tmp_path / "kept" / "home.tar.gz")
    shutil.rmtree(given.home.root)
    assert restore(tmp_path / "kept" / "home.tar.gz", given.home).n_files == written.n_files
    assert content_hashes(given.home, given.study) == tables
    assert ledger_rows(given.home) == ledger
    assert history(given) == runs
    assert given.states() == states


def test_a_home_with_results_is_not_overwritten(given: SmallHome, tmp_path: Path) -> None:
    back_up(given.home, tmp_path / "home.tar.gz")
    with pytest.raises(BackupError, match=r"already has results \(dagster, .*lake.*\)"):
        restore(tmp_path / "home.tar.gz", given.home)


def test_an_empty_home_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="has nothing to back up"):
        back_up(Home(tmp_path / "none"), tmp_path / "home.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_does_not_hold_itself(given: SmallHome) -> None:
    with pytest.raises(BackupError, match="is inside the home"):
        back_up(given.home, given.home.root / "home.tar.gz")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A backup of a home with one study file."""
    home = Home(tmp_path / "home")
    home.studies.mkdir(parents=True)
    (home.studies / "s.yaml").write_text("study: s\n")
    back_up(home, tmp_path / "small.tar.gz")
    return tmp_path / "small.tar.gz"


def packed(target: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "not a readable backup"),
        ({"manifest.json": b"{"}, "not a readable backup"),
        ({"manifest.json": b'{"version": 9, "files": {}}'}, "not a backup of version 1"),
        ({"manifest.json": b"[]"}, "not a backup of version 1"),
        ({"../outside": b"x"}, r"unexpected entry '../outside'; nothing was restored"),
        ({"/outside": b"x"}, r"unexpected entry '/outside'"),
        (
            {"manifest.json": b'{"version": 1, "files": {"../a": {"sha256": "0"}}}'},
            r"\.\./a is missing or damaged; nothing was restored",
        ),
        ({"manifest.json": b'{"version": 1, "files": {"a": "b"}}', "a": b"x"}, "a is missing or damaged"),
        (
            {"manifest.json": json.dumps({"version": 1, "files": {"a": {"sha256": "0" * 64}}}).encode(), "a": b"x"},
            "a is missing or damaged; nothing was restored",
        ),
    ],
)
def test_what_is_no_whole_backup_changes_nothing(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    home = Home(tmp_path / "new")
    with pytest.raises(BackupError, match=words):
        restore(packed(tmp_path / "bad.tar.gz", members), home)
    assert list(home.root.iterdir()) == []


def test_half_a_file_is_no_backup(small: Path, tmp_path: Path) -> None:
    content = small.read_bytes()
    small.write_bytes(content[: len(content) // 2])
    with pytest.raises(BackupError, match="not a readable backup"):
        restore(small, Home(tmp_path / "new"))


def test_what_can_be_fetched_again_is_left_out(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    for name in ("studies/s.yaml", "benchmarks_cache/x.parquet", "logs/today.jsonl", "ledger/ledger.sqlite-wal"):
        path = home.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert back_up(home, tmp_path / "b.tar.gz").n_files == 1
    assert b"s.yaml" in gzip.decompress((tmp_path / "b.tar.gz").read_bytes())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    """A link ``lake`` to another folder, then a file ``lake/x``: the file would be written there."""
    outside, source, home = tmp_path / "outside", tmp_path / "bad.tar.gz", Home(tmp_path / "new")
    outside.mkdir()
    manifest = json.dumps({"version": 1, "files": {"lake/x": {"sha256": hashlib.sha256(b"x").hexdigest()}}}).encode()
    with tarfile.open(source, "w:gz") as archive:
        link = tarfile.TarInfo("lake")
        link.type, link.linkname = kind, str(outside)
        archive.addfile(link)
        for name, content in (("lake/x", b"x"), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(BackupError, match="unexpected entry 'lake'; nothing was restored"):
        restore(source, home)
    assert list(outside.iterdir()) == []
    assert list(home.root.iterdir()) == []


def test_a_file_that_exists_is_overwritten_only_when_told(small: Path, tmp_path: Path) -> None:
    before = small.read_bytes()
    with pytest.raises(
        BackupError, match=r"small\.tar\.gz already exists; name another file, or overwrite it with --force"
    ):
        back_up(Home(tmp_path / "home"), small)
    assert small.read_bytes() == before
    assert back_up(Home(tmp_path / "home"), small, replace=True).n_files == 1


def test_what_a_killed_backup_left_is_removed_by_the_next(small: Path, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = small.with_name(f".small.tar.gz.staged-{ended.pid}-x")
    left.mkdir()
    (left / "copy").write_bytes(b"x")
    others = small.with_name(f".small.tar.gz.staged-{os.getpid()}-x")
    others.mkdir()
    back_up(Home(tmp_path / "home"), small, replace=True)
    assert not left.exists()
    assert others.exists()


def test_a_place_that_cannot_be_written_is_one_line(small: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"home.tar.gz: the backup cannot be written: File exists \(.*small.tar.gz\)"):
        back_up(Home(tmp_path / "home"), small / "home.tar.gz")
