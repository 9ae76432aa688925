"""One file of everything a home holds, and a home again from such a file.

Here: studies, imports, tables, reports, ledger and history on this machine's disk. Not here: what lies in a bucket or
in PostgreSQL, which have tools of their own. Databases are copied by SQLite itself, so a run may go on meanwhile; the
history is taken first and the ledger last, so that what is recorded in the one is there in the others.
"""

import hashlib
import json
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from advcluster_dagster.storage.home import Home

_MANIFEST = "manifest.json"
_VERSION = 1
#: What is fetched again when it is missing, and what holds no result.
_LEFT_OUT = ("benchmarks_cache", "logs")
_HOLDS_RESULTS = ("dagster", "imports", "lake", "ledger", "reports")
_SQLITE = b"SQLite format 3\x00"
_CHUNK = 1 << 20


class BackupError(RuntimeError):
    """A backup cannot be written or restored; one line."""


@dataclass(frozen=True)
class BackupSummary:
    """What a backup holds."""

    n_files: int
    n_bytes: int
    made_at: str


def back_up(home: Home, target: Path) -> BackupSummary:
    """Write everything below a home into one compressed file, which appears whole or not at all.

    Raises:
        BackupError: the home holds nothing, or the file would lie inside it.
    """
    target = target.expanduser().resolve()
    if not home.root.is_dir() or not any(_files(home.root)):
        raise BackupError(f"{home.root} holds nothing to back up; ADVCLUSTER_HOME names another folder")
    if target.is_relative_to(home.root):
        raise BackupError(f"{target} lies inside the home itself; name a file outside {home.root}")
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.staged")
    entries: dict[str, dict[str, object]] = {}
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        with tarfile.open(staged, "w:gz", compresslevel=1) as archive, tempfile.TemporaryDirectory() as folder:
            for path in _files(home.root):
                name = path.relative_to(home.root).as_posix()
                if (copy := _readable_copy(path, Path(folder) / "copy")) is not None:
                    archive.add(copy, arcname=name, recursive=False)
                    entries[name] = {"sha256": _sha256(copy), "size": copy.stat().st_size}
            manifest = Path(folder) / _MANIFEST
            manifest.write_text(json.dumps({"version": _VERSION, "made_at": made_at, "files": entries}))
            archive.add(manifest, arcname=_MANIFEST)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    return BackupSummary(len(entries), target.stat().st_size, made_at)


def restore(source: Path, home: Home) -> BackupSummary:
    """Put a backup's files in their places; every one is held against its hash before any is moved.

    Raises:
        BackupError: the home holds results already, or the file is no whole backup.
    """
    held = [name for name in _HOLDS_RESULTS if (home.root / name).is_dir() and any((home.root / name).iterdir())]
    if held:
        raise BackupError(f"{home.root} holds results already ({', '.join(held)}); restore into an empty home")
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restoring-") as folder:
        unpacked = Path(folder)
        try:
            with tarfile.open(source, "r:gz") as archive:
                archive.extractall(unpacked, filter="data")
            manifest = json.loads((unpacked / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, EOFError, tarfile.TarError, ValueError) as error:
            raise BackupError(f"{source}: is no backup that can be read: {error}") from None
        _check(source, unpacked, manifest)
        for name in manifest["files"]:
            place = home.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (unpacked / name).replace(place)
    return BackupSummary(len(manifest["files"]), source.stat().st_size, manifest["made_at"])


def _check(source: Path, unpacked: Path, manifest: dict[str, object]) -> None:
    """Hold the unpacked files against the manifest."""
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or manifest.get("version") != _VERSION:
        raise BackupError(f"{source}: is no backup of version {_VERSION}")
    for name, entry in files.items():
        path = unpacked / name
        if not path.is_file() or _sha256(path) != entry["sha256"]:
            raise BackupError(f"{source}: {name} is missing or damaged; nothing was restored")


def _files(root: Path) -> Iterator[Path]:
    """Files to keep: history first, ledger last; what SQLite and unfinished writes leave beside them is left out."""
    order = {"dagster": 0, "ledger": 2}
    for folder in sorted(root.iterdir(), key=lambda path: (order.get(path.name, 1), path.name)):
        if folder.name in _LEFT_OUT or folder.name.startswith("."):
            continue
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            is_transient = path.name.endswith(("-wal", "-shm", "-journal", ".staged", ".tmp"))
            if path.is_file() and not path.is_symlink() and not is_transient:
                yield path


def _readable_copy(path: Path, copy: Path) -> Path | None:
    """A copy that does not change while it is read; None where the file is gone by now."""
    try:
        with path.open("rb") as file:
            is_database = file.read(len(_SQLITE)) == _SQLITE
        if not is_database:
            shutil.copyfile(path, copy)
            return copy
    except FileNotFoundError:
        return None
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as live, closing(sqlite3.connect(copy)) as kept:
        live.backup(kept)
    return copy


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
