"""View models for the templates: tables, figures and clusters as formatted text."""

from dataclasses import dataclass
from typing import Literal

from advcluster_dagster.report.formatting import MISSING


@dataclass(frozen=True)
class Row:
    """A table row; a ``group`` row has one cell, the heading of the rows that follow."""

    cells: tuple[str, ...]
    kind: Literal["plain", "group", "subtotal", "total", "chosen"] = "plain"


@dataclass(frozen=True)
class TableView:
    """A formatted table.

    The first ``n_text_columns`` columns are left-aligned, the others right-aligned. ``spans`` are headings over several
    columns: (text, number of columns) from left to right. A table without rows shows ``empty`` instead.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    n_text_columns: int = 1
    spans: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    empty: str = "Nothing to show."

    @property
    def is_dense(self) -> bool:
        """Whether the table has too many columns for the usual font size."""
        return len(self.columns) > 7

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, plus an explanation of the dash if one occurs."""
        if any(MISSING in cell for row in self.rows for cell in row.cells):
            return (*self.notes, f"{MISSING}: not measured or undefined; never a zero.")
        return self.notes


@dataclass(frozen=True)
class FigureView:
    """A figure: vector image, caption and text alternative."""

    caption: str
    alternative: str
    source: str


@dataclass(frozen=True)
class Example:
    """An advantage of a cluster with its evidence."""

    advantage_id: str
    domain: str
    advantage: str | None
    evidence: str | None
    quotes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CaseView:
    """A worked case of a cluster: the question and an excerpt of each trace around the quoted passage.

    ``excerpts``: name of the model, text before the passage, the passage, text after it.
    """

    advantage_id: str
    question: str
    domain: str
    stage: str | None
    excerpts: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class ClusterView:
    """A cluster of the final taxonomy, formatted."""

    cluster_id: int
    tag: str | None
    definition: str | None
    facts: str
    is_specialised: bool
    examples: tuple[Example, ...]
    case: CaseView | None = None
