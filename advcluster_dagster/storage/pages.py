"""The pages of a study: HOME/reports/STUDY/, each file replaced atomically, the page after what it shows.

Writing them and reading their stamps; what they show is made in ``report``.
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

#: Entry of a page's stamp: by file name, its size and time of change, and the sha256 of its bytes.
_WRITTEN = "written"
_REMADE = "a run writes it again"


@dataclass(frozen=True)
class PageFiles:
    """A page, the files beside it by name (a path seen from the page), and where all of it comes from.

    The files are gone through once, so that they may be made as they are written.
    """

    page: str
    files: Iterable[tuple[str, bytes]]
    stamp: Stamp


@dataclass(frozen=True)
class _Place:
    """File names of a page, its stamp, and the pattern of the files beside it."""

    page: str
    stamp: str
    files: str


_PLACES = {
    "study_report": _Place("report.html", "report.json", "*.png"),
    "evidence_explorer": _Place("explorer.html", "explorer.json", "explorer/**/*"),
}


def page_path(reports: Path, study: str, asset: str) -> Path:
    """Where the page of an asset is."""
    return reports / study / _PLACES[asset].page


def write_page(reports: Path, study: str, asset: str, files: PageFiles) -> None:
    """Replace the files beside a page, then the page and its stamp; files that the new page lacks are removed last.

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
    """Where the page of an asset comes from; None when there is none.

    Raises:
        DamagedFileError: the stamp cannot be read, or the page or a file beside it is not what was written.
    """
    path = reports / study / _PLACES[asset].stamp
    if not page_path(reports, study, asset).is_file() or not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        written = content.pop(_WRITTEN, {})  # earlier versions of this program kept none
        stamp = Stamp(**content)
        changed = [name for name, kept in written.items() if not _is_as_written(path.parent / name, *kept)]
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path} is damaged; {_REMADE}") from error
    if changed:
        raise DamagedFileError(f"{path.parent / changed[0]} is damaged: not what was written; {_REMADE}")
    return stamp


def _is_as_written(path: Path, written: str, sha256: str) -> bool:
    """Whether a file is what was written, by size and time of change, else (a home was copied) by its bytes."""
    place = UPath(path)
    return path.is_file() and (written_as(place) == written or file_sha256(place) == sha256)


def _replace(path: Path, content: bytes) -> tuple[str, str]:
    """Put a file in its place; its size and time of change, and the sha256 of its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as staged:
        staged.write_bytes(content)
    return written_as(UPath(path)), hashlib.sha256(content).hexdigest()


def _remove_others(folder: Path, pattern: str, kept: set[Path]) -> None:
    """Remove what matches the pattern and is not kept, folders that became empty included."""
    for path in sorted(folder.glob(pattern), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()
