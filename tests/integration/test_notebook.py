"""The notebook runs in a real Jupyter kernel and reproduces its stored output."""

from pathlib import Path

import pytest

from advcluster_dagster.storage.home import Home

pytestmark = pytest.mark.integration
pytest.importorskip("nbclient", reason="Jupyter is not installed (extra integration)")

import nbformat  # noqa: E402

from docs.run_notebook import NOTEBOOK, executed, printed  # noqa: E402


def test_every_cell_runs_and_prints_what_is_stored(finished_demo: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLUSTER_HOME", str(finished_demo.root))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    notebook = executed()
    stored = printed(nbformat.read(NOTEBOOK, as_version=4))
    assert any(stored)
    assert printed(notebook) == stored
    shown = [out.data for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    assert {"text/html", "image/png"} <= {kind for data in shown for kind in data}
