"""Records that a section hands to its template: tables, figures and clusters as finished text."""

from dataclasses import dataclass
from typing import Literal

from advcluster_dagster.report.formatting import MISSING


@dataclass(frozen=True)
class Row:
    """A row of a table; a ``group`` row is a heading over the rows that follow, and has one cell."""

    cells: tuple[str, ...]
    kind: Literal["plain", "group", "subtotal", "total", "chosen"] = "plain"


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it.

    The first ``n_text_columns`` are set flush left, the others flush right. ``spans`` are headings over several
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
        """Whether the columns are too many for type of the usual size."""
        return len(self.columns) > 7

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, with the meaning of the dash where one occurs."""
        if any(MISSING in cell for row in self.rows for cell in row.cells):
            return (*self.notes, f"{MISSING}: not measured or undefined; never a zero.")
        return self.notes


@dataclass(frozen=True)
class FigureView:
    """A figure as the page shows it: a vector image, a caption, and words for those who cannot see it."""

    caption: str
    alternative: str
    source: str


@dataclass(frozen=True)
class Example:
    """An advantage description of a cluster with what shows it."""

    advantage_id: str
    domain: str
    advantage: str | None
    evidence: str | None
    quotes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CaseView:
    """A worked case of a cluster: the question, and of each trace what stands before, in and after the passage quoted.

    ``excerpts``: whose trace, text before the passage, the passage, text after it.
    """

    advantage_id: str
    question: str
    domain: str
    stage: str | None
    excerpts: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True)
class ClusterView:
    """A cluster of the final taxonomy in words."""

    cluster_id: int
    tag: str | None
    definition: str | None
    facts: str
    is_specialised: bool
    examples: tuple[Example, ...]
    case: CaseView | None = None
