"""Write the pages of a study (HOME/reports/STUDY/) and read their stamps.

Each file is replaced atomically, the page after the files that it uses. Content is rendered in ``report``.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from upath import UPath

from advcluster_dagster.storage.faults import DamagedFileError, writing
from advcluster_dagster.storage.files import atomic_write, file_sha256
from advcluster_dagster.storage.table_files import Stamp, written_as

#: Entry of a page's stamp: size and modification time, and sha256, by file name.
_WRITTEN = "written"
_RERUN_REMEDY = "a run writes it again"


@dataclass(frozen=True)
class PageFiles:
    """A page, its accompanying files by relative path, and their stamp.

    ``files`` is iterated once, so that files may be generated as they are written.
    """

    page: str
    files: Iterable[tuple[str, bytes]]
    stamp: Stamp


@dataclass(frozen=True)
class _Place:
    """File names of a page and its stamp, and the pattern of its accompanying files."""

    page: str
    stamp: str
    files: str


_PLACES = {
    "study_report": _Place("report.html", "report.json", "*.png"),
    "evidence_explorer": _Place("explorer.html", "explorer.json", "explorer/**/*"),
}


def page_path(reports: Path, study: str, asset: str) -> Path:
    """Return the path of an asset's page."""
    return reports / study / _PLACES[asset].page


def write_page(reports: Path, study: str, asset: str, files: PageFiles) -> None:
    """Replace a page's accompanying files, then the page and its stamp; then remove files that the new page lacks.

    Raises:
        StorageError: a file cannot be written.
    """
    folder, place = reports / study, _PLACES[asset]
    with writing(folder):
        written = {name: _replace(folder / name, content) for name, content in files.files}
        record = {**written, place.page: _replace(folder / place.page, files.page.encode())}
        stamp = {**asdict(files.stamp), _WRITTEN: record}
        _replace(folder / place.stamp, json.dumps(stamp, sort_keys=True).encode())
        _remove_others(folder, place.files, {folder / name for name in written})


def read_report_stamp(reports: Path, study: str, asset: str) -> Stamp | None:
    """Return the stamp of an asset's page; None if there is no page.

    Raises:
        DamagedFileError: the stamp cannot be read, or the page or an accompanying file was changed.
    """
    path = reports / study / _PLACES[asset].stamp
    if not page_path(reports, study, asset).is_file() or not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        written = content.pop(_WRITTEN, {})  # missing in pages of earlier versions
        stamp = Stamp(**content)
        changed = [name for name, kept in written.items() if not _is_as_written(path.parent / name, *kept)]
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is damaged; {_RERUN_REMEDY}") from error
    if changed:
        raise DamagedFileError(f"{path.parent / changed[0]} is damaged: changed since it was written; {_RERUN_REMEDY}")
    return stamp


def _is_as_written(path: Path, written: str, sha256: str) -> bool:
    """Return whether a file is unchanged, by size and modification time or, if these differ (copied home), by hash."""
    place = UPath(path)
    return path.is_file() and (written_as(place) == written or file_sha256(place) == sha256)


def _replace(path: Path, content: bytes) -> tuple[str, str]:
    """Replace a file; return its size and modification time, and the sha256 of its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as staged:
        staged.write_bytes(content)
    return written_as(UPath(path)), hashlib.sha256(content).hexdigest()


def _remove_others(folder: Path, pattern: str, kept: set[Path]) -> None:
    """Remove files that match the pattern and are not in ``kept``, and folders that became empty."""
    for path in sorted(folder.glob(pattern), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()
