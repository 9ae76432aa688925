"""Run docs/notebook.ipynb in Jupyter and store its outputs: `python -m docs.run_notebook`.

Requires the extra `integration` and a finished demonstration in the home that ADVCLUSTER_HOME names.
"""

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("notebook.ipynb")


def executed() -> Any:
    """Execute the notebook in a new kernel.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return NotebookClient(notebook, timeout=300, kernel_name="python3").execute()


def printed(notebook: Any) -> list[str]:
    """Return the printed output of each code cell, "" for a cell without output."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(out.text for out in cell.outputs if out.output_type == "stream") for cell in cells]


def main() -> None:
    """Execute the notebook and save it without execution times."""
    notebook = executed()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.name}: {NOTEBOOK.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
