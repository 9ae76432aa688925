"""On-disk cache of source code hashes: parsing the package takes a third of a short command's time.

The file is in the user's cache folder. Its name is a hash of the package's files and the Python version, so that
entries are never outdated. If the folder is not writable, nothing is cached.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import advcluster_dagster
from advcluster_dagster.storage.files import atomic_write

Parts = dict[str, str]


def cached_parts(name: str, compute: Callable[[], Parts]) -> Parts:
    """Return the entry of a name; compute and cache it if missing."""
    path = _cache_file()
    entries = _entries(path)
    if name not in entries:
        entries[name] = compute()
        if path is not None:
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as staged:
                    staged.write_text(json.dumps(entries), encoding="utf-8")
    return entries[name]


@cache
def _entries(path: Path | None) -> dict[str, Parts]:
    """Return the entries of a cache file; empty if it cannot be read."""
    if path is not None:
        with suppress(OSError, ValueError):
            content = json.loads(path.read_bytes())
            if isinstance(content, dict):
                return content
    return {}


@cache
def _cache_file() -> Path | None:
    """Return the cache file for the package's current files; None if they are not files, such as in an archive."""
    package = Path(advcluster_dagster.__file__).parent
    digest = hashlib.sha256(repr(sys.version_info[:3]).encode())
    paths = sorted(path for path in package.rglob("*") if path.suffix != ".pyc" and path.is_file())
    if not paths:
        return None
    for path in paths:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package)}:{len(content)}:".encode())
        digest.update(content)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "advcluster"
    return folder / f"source_code-{digest.hexdigest()[:24]}.json"
