"""Local files: atomic writes, hashes, locks."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from upath import UPath


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path that replaces the target if the block ends without an error.

    Readers see the old file or the new one, never a part. The folder must exist.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.staged")
    try:
        yield staged
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def file_sha256(path: Path | UPath) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # upath opens a plain file


@contextmanager
def file_lock(path: Path, must_wait: bool = True) -> Iterator[bool]:
    """Hold a lock between processes of one machine; it is released if the process dies.

    Args:
        path: the lock file, which stays empty.
        must_wait: wait for the process that holds the lock; otherwise yield False at once.

    Yields:
        Whether the lock is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if must_wait else 0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
