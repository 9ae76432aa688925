"""Atomic writes and consistent reads of files in a folder or a bucket.

In a folder, a file is written next to its target and renamed. For a bucket, it is written on the local disk and
uploaded in one request, which is atomic.
"""

import os
import re
import socket
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import psutil
import pyarrow as pa
from upath import UPath

T = TypeVar("T")

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
_STAGED_BY = re.compile(r"\.([A-Za-z0-9-]+)\.(\d+)-[0-9a-f]{8}\.staged$")
_TRIES = 20
_ABANDONED_AFTER_S = 7 * 24 * 3600


def is_local(path: UPath | Path) -> bool:
    """Return whether a path is in a file system of this machine."""
    return not isinstance(path, UPath) or path.protocol in ("", "file")


def staging_path(path: UPath) -> UPath:
    """Return the temporary path for writing a file; its name has the host and process that writes it."""
    folder = path.parent if is_local(path) else UPath(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f".{path.name}.{_HOST}.{os.getpid()}-{uuid.uuid4().hex[:8]}.staged"


def put_in_place(staged: UPath, path: UPath) -> None:
    """Move a complete file to its target; readers see the old file or the new one, never a part."""
    if is_local(path):
        staged.replace(path)
        return
    path.fs.put_file(str(staged), path.path)
    staged.unlink()


def open_whole(path: UPath) -> BinaryIO:
    """Open a file for reading; its content stays the same even if it is replaced. An object is downloaded for that.

    Raises:
        FileNotFoundError: it does not exist.
    """
    if is_local(path):
        return open(str(path), "rb")
    return retry_if_replaced(lambda: _fetch(path))


def _fetch(path: UPath) -> BinaryIO:
    handle, name = tempfile.mkstemp(prefix="advcluster-")
    os.close(handle)
    try:
        before = path.fs.ukey(path.path)
        path.fs.get_file(path.path, name)
        if path.fs.ukey(path.path) != before:  # an interrupted transfer may resume with another version
            raise _ReplacedError(str(path))
        return open(name, "rb")
    finally:
        os.unlink(name)


class _ReplacedError(OSError):
    """An object was replaced while it was read."""


def retry_if_replaced(read: Callable[[], T]) -> T:
    """Read a file; retry, at most 19 times, if it was replaced meanwhile.

    Raises:
        FileNotFoundError: it does not exist.
    """
    for _ in range(_TRIES - 1):
        try:
            return read()
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowInvalid):
            continue
    return read()


def remove_abandoned_files(lake: UPath) -> int:
    """Remove staged files whose process is gone, on other hosts those older than a week; return their number."""
    staged = lake.glob("**/.*.staged") if is_local(lake) else UPath(tempfile.gettempdir()).glob(".*.staged")
    abandoned = [path for path in staged if _is_abandoned(path)]
    for path in abandoned:
        path.unlink(missing_ok=True)
    return len(abandoned)


def _is_abandoned(path: UPath) -> bool:
    writer = _STAGED_BY.search(path.name)
    if writer is None:
        return False
    if writer[1] == _HOST:
        return not psutil.pid_exists(int(writer[2]))
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S
    except FileNotFoundError:  # its writer has moved it to its target
        return False
