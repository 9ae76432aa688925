"""IO manager of the report and the explorer."""

from pathlib import Path

import dagster as dg

from advcluster_dagster.orchestration.step_failures import storage_failures
from advcluster_dagster.storage.pages import PageFiles, page_path, write_page


class ReportIOManager(dg.IOManager):
    """Writes the pages of a study below the reports folder."""

    def __init__(self, reports: Path) -> None:
        self._reports = reports

    def handle_output(self, context: dg.OutputContext, obj: PageFiles) -> None:
        """Replace the asset's page and its accompanying files."""
        with storage_failures():
            study, asset = context.asset_key.path
            write_page(self._reports, study, asset, obj)

    def load_input(self, context: dg.InputContext) -> str:
        """Read the page."""
        return page_path(self._reports, *context.asset_key.path).read_text(encoding="utf-8")
