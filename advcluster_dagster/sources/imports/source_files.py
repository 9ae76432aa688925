"""Check a file or folder to import before reading it: missing, unreadable, empty, or of an unsupported kind."""

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from advcluster_dagster.sources.imports.errors import ImportFileError

GZIP = b"\x1f\x8b"
ZIP = b"PK"
_LFS = b"version https://git-lfs"
_HEAD_BYTES = 4096
_TO_JSON_LINES = (
    "convert it, for instance with: python -c \"import polars; polars.{read}('{name}').write_ndjson('{stem}.jsonl')\""
)
#: First bytes and names of unsupported kinds of files.
_KINDS = (
    (b"PAR1", "a Parquet file"),
    (ZIP, "a zip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file"),
    (b"<", "HTML or XML"),
)
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def file_size(path: Path) -> int:
    """Size of a file in bytes.

    Raises:
        ImportFileError: the path is not a readable file, or the file is empty.
    """
    if fault := access_fault(path):
        raise ImportFileError(f"{path}: {fault}")
    if not (size := path.stat().st_size):
        raise ImportFileError(f"{path}: the file is empty; allowed: one JSON object per line")
    return size


def access_fault(path: Path) -> str | None:
    """Reason why a path cannot be opened as a file; None if it can."""
    if path.is_dir():
        return "is a folder; allowed: a file"
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which does not exist"
    if path.exists() and not path.is_file():
        return "is a pipe or a device; allowed: a file on disk"
    try:
        with path.open("rb"):
            return None
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"


def read_head(path: Path) -> bytes:
    """The first bytes of a file, decompressed if it is gzip.

    Raises:
        ImportFileError: as :func:`file_size`, or the gzip data are damaged.
    """
    file_size(path)
    with opened(path) as (_, content):
        return content.read(_HEAD_BYTES)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file; yields the raw file and its content, decompressed if it is gzip.

    Raises:
        ImportFileError: the file cannot be read as far as the caller reads.
    """
    try:
        with path.open("rb", buffering=2**20) as file:
            is_packed = file.read(2) == GZIP
            file.seek(0)
            yield (file, gzip.GzipFile(fileobj=file) if is_packed else file)  # type: ignore[misc]
    except EOFError:
        raise ImportFileError(f"{path}: the gzip file is truncated; allowed: a complete one") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ImportFileError(f"{path}: invalid gzip data: {error}") from None
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror or error}") from None


def kind_fault(path: Path, head: bytes) -> str | None:
    """Describe a file that contains no JSON text, with advice; None if it may contain JSON.

    Args:
        path: Path of the file, for its name and suffix.
        head: The file's first bytes.
    """
    if head.startswith(_LFS):
        return "a Git LFS pointer, not the file itself; fetch it with: git lfs pull"
    if head.startswith(_WIDE_MARKS) or _is_wide(head):
        return f"UTF-16 or UTF-32 text; allowed: UTF-8; convert it with: iconv -f UTF-16 -t UTF-8 {path.name}"
    if head and not head.strip(b"\0"):
        return "begins with NUL bytes instead of text: the file is damaged; copy it again"
    kind = next((name for mark, name in _KINDS if head.startswith(mark)), None)
    if kind is None and _is_table(path, head):
        kind = "a CSV file"
    if kind is None:
        return None
    advice = "unpack it"
    if kind in ("a Parquet file", "a CSV file"):
        read = "read_parquet" if kind == "a Parquet file" else "read_csv"
        advice = _TO_JSON_LINES.format(read=read, name=path.name, stem=path.stem)
    elif "archive" not in kind:
        advice = "convert it"
    return f"{kind}; allowed: JSON Lines, plain or gzipped, or a JSON array of objects; {advice}"


def _is_wide(head: bytes) -> bool:
    """Whether every second of the first bytes is NUL, as in UTF-16 without a byte order mark."""
    start = head[:16]
    halves = [start[::2], start[1::2]]
    return len(start) >= 4 and any(not half.strip(b"\0") for half in halves) and bool(start.strip(b"\0"))


def _is_table(path: Path, head: bytes) -> bool:
    first_line = head.split(b"\n", 1)[0]
    is_json = first_line.lstrip(b"\xef\xbb\xbf \t\r").startswith((b"{", b"["))
    return not is_json and (path.suffix.lower() in (".csv", ".tsv") or b"question_id" in first_line)


def walk_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder sorted by path, following links: visible ones, and those under hidden names.

    Raises:
        ImportFileError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise ImportFileError(f"{error.filename}: the folder cannot be listed: {error.strerror or error}")

    files: list[Path] = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # A folder that links reach a second time, or that contains a link to a parent, is walked once.
        folders[:] = sorted(name for name in folders if _is_new(os.path.realpath(os.path.join(root, name)), seen))
        files += [Path(root, name) for name in names]
    hidden = [path for path in files if any(part.startswith(".") for part in path.relative_to(folder).parts)]
    shown = [path for path in files if path not in set(hidden)]
    return sorted(shown), sorted(hidden)


def _is_new(real_path: str, seen: set[str]) -> bool:
    is_new = real_path not in seen
    seen.add(real_path)
    return is_new
