"""A cache of the hashes of source code on disk: parsing the package takes a third of a short command's time.

The file lies in the user's cache folder and is named after all that the hashes are made of, so that a changed file of
the package, or another Python, never meets an old entry. Where the folder cannot be written nothing is cached.
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
    """The entry of a name, computed and kept where the cache has none."""
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
    """Entries of a cache file; none where it cannot be read."""
    if path is not None:
        with suppress(OSError, ValueError):
            content = json.loads(path.read_bytes())
            if isinstance(content, dict):
                return content
    return {}


@cache
def _cache_file() -> Path | None:
    """The file for this version of the package's files; None where they are no files, such as in an archive."""
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
