"""Back up a home to one file, and restore it.

Databases are copied by SQLite's backup, so runs may continue meanwhile. The history is copied first and the ledger
last, so that everything the history records is in the backup.
"""

import glob
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import psutil
from upath import UPath

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.storage.faults import LEDGER_REMEDY, DamagedFileError, database_fault, history_remedy
from advcluster_dagster.storage.files import file_sha256
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import file_fault, read_stamp

_MANIFEST = "manifest.json"
_VERSION = 1
#: Folders that are downloaded again or hold no results.
_LEFT_OUT = ("benchmarks_cache", "logs")
_HOLDS_RESULTS = ("dagster", "imports", "lake", "ledger", "reports")
_SQLITE = b"SQLite format 3\x00"
_CHUNK = 1 << 20


class BackupError(AdvClusterError, RuntimeError):
    """A backup cannot be written or restored; one line."""


@dataclass(frozen=True)
class BackupSummary:
    """Size and time of a backup."""

    n_files: int
    n_bytes: int
    made_at: str


def back_up(home: Home, target: Path, replace: bool = False) -> BackupSummary:
    """Write everything in a home to one compressed file, atomically.

    Args:
        home: the home to back up.
        target: the file to write; temporary copies next to it are removed, including those of killed backups.
        replace: overwrite an existing file.

    Raises:
        BackupError: the home is empty or has a damaged file; the target is inside the home, exists, or cannot be
            written.
    """
    target = target.expanduser().resolve()
    if not home.root.is_dir() or not any(_files(home.root)):
        raise BackupError(f"{home.root} has nothing to back up; set ADVCLUSTER_HOME to another folder")
    if target.is_relative_to(home.root):
        raise BackupError(f"{target} is inside the home; name a file outside {home.root}")
    if target.exists() and not replace:
        raise BackupError(f"{target} already exists; name another file, or overwrite it with --force")
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(target)
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f"{_staging_prefix(target)}{os.getpid()}-"
        ) as folder:
            staged = Path(folder) / "archive"
            n_files = _pack(home, staged, made_at)
            staged.replace(target)
    except OSError as error:
        raise BackupError(
            f"{target}: the backup cannot be written: {error.strerror or error} ({error.filename or target})"
        ) from None
    return BackupSummary(n_files, target.stat().st_size, made_at)


def _pack(home: Home, archive_path: Path, made_at: str) -> int:
    """Write the archive, with its manifest last; return its number of files."""
    entries: dict[str, dict[str, object]] = {}
    with tarfile.open(archive_path, "w:gz", compresslevel=1) as archive:
        for path in _files(home.root):
            name = path.relative_to(home.root).as_posix()
            if (copy := _sound_copy(home, path, archive_path.with_name("copy"))) is not None:
                archive.add(copy, arcname=name, recursive=False)
                entries[name] = {"sha256": file_sha256(copy), "size": copy.stat().st_size}
        manifest = archive_path.with_name(_MANIFEST)
        manifest.write_text(json.dumps({"version": _VERSION, "made_at": made_at, "files": entries}))
        archive.add(manifest, arcname=_MANIFEST)
    return len(entries)


def _staging_prefix(target: Path) -> str:
    return f".{target.name}.staged-"


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary folders of killed backups of the same target: those named after a process that is gone."""
    for folder in target.parent.glob(f"{glob.escape(_staging_prefix(target))}*"):
        pid = folder.name.removeprefix(_staging_prefix(target)).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def restore(source: Path, home: Home) -> BackupSummary:
    """Restore a backup into an empty home; every hash is verified before any file is moved.

    Only regular files named in the manifest are restored, inside the home: no links, no paths that leave it.

    Raises:
        BackupError: the home already has results, the file is not a complete backup, or it cannot be unpacked.
    """
    existing = [name for name in _HOLDS_RESULTS if (home.root / name).is_dir() and any((home.root / name).iterdir())]
    if existing:
        raise BackupError(f"{home.root} already has results ({', '.join(existing)}); restore into an empty home")
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restoring-") as folder:
        unpacked = Path(folder)
        try:
            _unpack(source, unpacked)
            manifest = json.loads((unpacked / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
            raise BackupError(f"{source}: not a readable backup: {error}") from None
        _check(source, unpacked, manifest)
        for name in manifest["files"]:
            place = home.root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            (unpacked / name).replace(place)
    return BackupSummary(len(manifest["files"]), source.stat().st_size, manifest["made_at"])


def _check(source: Path, unpacked: Path, manifest: dict[str, object]) -> None:
    """Compare the unpacked files with the manifest."""
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or manifest.get("version") != _VERSION:
        raise BackupError(f"{source}: not a backup of version {_VERSION}")
    for name, entry in files.items():
        path = unpacked / name
        is_whole = (
            _is_safe(name) and path.is_file() and isinstance(entry, dict) and file_sha256(path) == entry.get("sha256")
        )
        if not is_whole:
            raise BackupError(f"{source}: {name} is missing or damaged; nothing was restored")


def _unpack(source: Path, folder: Path) -> None:
    """Write the regular files of an archive to a folder.

    Does not use tarfile's filters, which the oldest supported Python lacks.

    Raises:
        BackupError: a member is a link or a device, or its path leaves the folder.
    """
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if member.isdir():
                continue
            if content is None or not _is_safe(member.name):
                raise BackupError(f"{source}: unexpected entry {member.name!r}; nothing was restored")
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("xb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
            os.utime(path, (member.mtime, member.mtime))


def _is_safe(name: str) -> bool:
    """Return whether a name is a plain relative path."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name and "\\" not in name


def _files(root: Path) -> Iterator[Path]:
    """Yield the files to back up, history first, ledger last, without side files of SQLite and of unfinished writes."""
    order = {"dagster": 0, "ledger": 2}
    for folder in sorted(root.iterdir(), key=lambda path: (order.get(path.name, 1), path.name)):
        if folder.name in _LEFT_OUT or folder.name.startswith("."):
            continue
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            is_transient = path.name.endswith(("-wal", "-shm", "-journal", ".staged", ".tmp"))
            if path.is_file() and not path.is_symlink() and not is_transient:
                yield path


def _sound_copy(home: Home, path: Path, copy: Path) -> Path | None:
    """Copy a file as :func:`_readable_copy`, after checking that it is undamaged.

    Raises:
        BackupError: the file is damaged, or cannot be read.
    """
    is_ledger = path.is_relative_to(home.root / "ledger")
    remedy = LEDGER_REMEDY if is_ledger else history_remedy(home.dagster)
    fault = None
    try:
        copied = _readable_copy(path, copy)
        if path.suffix == ".parquet" and path.is_relative_to(home.root / "lake"):
            place = UPath(path)
            fault = file_fault(place, read_stamp(place))
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        fault = str(error)
    except sqlite3.DatabaseError as error:
        fault = database_fault(error, path, remedy) or f"{path}: {error}"
    if fault is not None:
        raise BackupError(f"nothing was backed up: {fault}")
    return copied


def _readable_copy(path: Path, copy: Path) -> Path | None:
    """Copy a file so that it does not change while it is read; None if the file no longer exists."""
    try:
        with path.open("rb") as file:
            # A database with a garbled header is recognised by its name, and rejected.
            is_database = file.read(len(_SQLITE)) == _SQLITE or path.suffix in (".db", ".sqlite")
        if not is_database:
            shutil.copyfile(path, copy)
            shutil.copystat(path, copy)  # a table's modification time shows that it is unchanged
            return copy
    except FileNotFoundError:
        return None
    copy.unlink(missing_ok=True)
    source = f"{path.as_uri()}?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as live, closing(sqlite3.connect(copy)) as copied:
        live.backup(copied)
        if copied.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("malformed")
    return copy
