"""Back up a home into one file, and restore it.

Databases are copied by SQLite itself, so a run may go on meanwhile; the history is taken first and the ledger last,
so that what is recorded in the one is there in the others.
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
#: What is fetched again when it is missing, and what holds no result.
_LEFT_OUT = ("benchmarks_cache", "logs")
_HOLDS_RESULTS = ("dagster", "imports", "lake", "ledger", "reports")
_SQLITE = b"SQLite format 3\x00"
_CHUNK = 1 << 20


class BackupError(AdvClusterError, RuntimeError):
    """A backup cannot be written or restored; one line."""


@dataclass(frozen=True)
class BackupSummary:
    """What a backup holds."""

    n_files: int
    n_bytes: int
    made_at: str


def back_up(home: Home, target: Path, replace: bool = False) -> BackupSummary:
    """Write everything below a home into one compressed file, which appears whole or not at all.

    Args:
        home: What is kept.
        target: The file to write; temporary copies lie beside it and are removed, those of a killed backup too.
        replace: Overwrite a file that exists.

    Raises:
        BackupError: the home holds nothing or a damaged file; the file would lie inside it, exists, or cannot be
            written.
    """
    target = target.expanduser().resolve()
    if not home.root.is_dir() or not any(_files(home.root)):
        raise BackupError(f"{home.root} holds nothing to back up; ADVCLUSTER_HOME names another folder")
    if target.is_relative_to(home.root):
        raise BackupError(f"{target} lies inside the home itself; name a file outside {home.root}")
    if target.exists() and not replace:
        raise BackupError(f"{target} exists already; name another file, or overwrite it with --force")
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
    """Write the archive, its manifest last; how many files it holds."""
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
    """Remove what killed backups of the same target left: folders that name a process that is gone."""
    for folder in target.parent.glob(f"{glob.escape(_staging_prefix(target))}*"):
        pid = folder.name.removeprefix(_staging_prefix(target)).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def restore(source: Path, home: Home) -> BackupSummary:
    """Put a backup's files in their places; every hash is verified before any file is moved.

    Only regular files that the manifest names are unpacked, each below the home: no links, no paths that lead out.

    Raises:
        BackupError: the home holds results already, the file is no whole backup, or it cannot be unpacked.
    """
    held = [name for name in _HOLDS_RESULTS if (home.root / name).is_dir() and any((home.root / name).iterdir())]
    if held:
        raise BackupError(f"{home.root} holds results already ({', '.join(held)}); restore into an empty home")
    home.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.root, prefix=".restoring-") as folder:
        unpacked = Path(folder)
        try:
            _unpack(source, unpacked)
            manifest = json.loads((unpacked / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
            raise BackupError(f"{source}: is no backup that can be read: {error}") from None
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
        raise BackupError(f"{source}: is no backup of version {_VERSION}")
    for name, entry in files.items():
        path = unpacked / name
        is_whole = (
            _is_safe(name) and path.is_file() and isinstance(entry, dict) and file_sha256(path) == entry.get("sha256")
        )
        if not is_whole:
            raise BackupError(f"{source}: {name} is missing or damaged; nothing was restored")


def _unpack(source: Path, folder: Path) -> None:
    """Write the regular files of an archive below a folder.

    The filters of tarfile are newer than the oldest Python this runs on.

    Raises:
        BackupError: a member is a link or a device, or its path leads out of the folder.
    """
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if member.isdir():
                continue
            if content is None or not _is_safe(member.name):
                raise BackupError(f"{source}: holds {member.name!r}, which no backup has; nothing was restored")
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("xb") as file:
                shutil.copyfileobj(content, file, _CHUNK)
            os.utime(path, (member.mtime, member.mtime))


def _is_safe(name: str) -> bool:
    """Whether a name is a plain relative path."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name and "\\" not in name


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


def _sound_copy(home: Home, path: Path, copy: Path) -> Path | None:
    """As :func:`_readable_copy`, of a file that is what was written: a backup is no place for another one.

    Raises:
        BackupError: the file is damaged, or cannot be read.
    """
    is_ledger = path.is_relative_to(home.root / "ledger")
    remedy = LEDGER_REMEDY if is_ledger else history_remedy(home.dagster)
    fault = None
    try:
        made = _readable_copy(path, copy)
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
    return made


def _readable_copy(path: Path, copy: Path) -> Path | None:
    """A copy that does not change while it is read; None where the file is gone by now."""
    try:
        with path.open("rb") as file:
            # A database whose head is garbled is still recognised by its name, and refused.
            is_database = file.read(len(_SQLITE)) == _SQLITE or path.suffix in (".db", ".sqlite")
        if not is_database:
            shutil.copyfile(path, copy)
            shutil.copystat(path, copy)  # a table's own time says that nobody changed it
            return copy
    except FileNotFoundError:
        return None
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as live, closing(sqlite3.connect(copy)) as kept:
        live.backup(kept)
        if kept.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("malformed")
    return copy
