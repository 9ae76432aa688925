"""The pages of a study: HOME/reports/STUDY/, each file replaced atomically, the page after what it shows.

Here: writing them and reading back their stamp. Not here: what they show (report, explorer).
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg

from advcluster_dagster.storage.table_files import Stamp


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


class ReportIOManager(dg.IOManager):
    """Writes the pages of a study below the reports folder."""

    def __init__(self, reports: Path) -> None:
        self._reports = reports

    def handle_output(self, context: dg.OutputContext, obj: PageFiles) -> None:
        """Replace the files, then the page; files that the new page lacks are removed last."""
        study, asset = context.asset_key.path
        folder, place = self._reports / study, _PLACES[asset]
        folder.mkdir(parents=True, exist_ok=True)
        written = set()
        for name, content in obj.files:
            _replace(folder / name, content)
            written.add(folder / name)
        _replace(folder / place.page, obj.page.encode())
        _replace(folder / place.stamp, json.dumps(asdict(obj.stamp), sort_keys=True).encode())
        _remove_others(folder, place.files, written)

    def load_input(self, context: dg.InputContext) -> str:
        """The page."""
        return page_path(self._reports, *context.asset_key.path).read_text(encoding="utf-8")


def read_report_stamp(reports: Path, study: str, asset: str) -> Stamp | None:
    """Where the page of an asset comes from; None when there is none."""
    stamp = reports / study / _PLACES[asset].stamp
    if not page_path(reports, study, asset).is_file() or not stamp.is_file():
        return None
    return Stamp(**json.loads(stamp.read_text(encoding="utf-8")))


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}.staged")
    staged.write_bytes(content)
    staged.replace(path)


def _remove_others(folder: Path, pattern: str, kept: set[Path]) -> None:
    """Remove what matches the pattern and is not kept, folders that became empty included."""
    for path in sorted(folder.glob(pattern), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()
