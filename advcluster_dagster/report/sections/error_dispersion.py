"""Section on the dispersion of the smaller model's first errors (paper appendices A.5 and A.6, table 11)."""

import polars as pl
from markupsafe import Markup

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MISSING, decimal, integer, ratio
from advcluster_dagster.report.published_results import PublishedFamily
from advcluster_dagster.report.views import Row, TableView

_N_Q = Markup("N<sub>Q</sub>")
_NOTE = Markup(
    "{} counts all kept questions; undefined: questions with at most one first error, excluded from means."
).format(_N_Q)
_PUBLISHED_NOTE = Markup(
    "The published {} differ from the published counts of kept questions; both are shown as printed."
).format(_N_Q)


def edi_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Questions, undefined indices, mean and deviation of the index by domain, next to published values."""
    summary, names = data.table("edi_summary", family), data.names(family)
    rows = []
    for domain, model, n, n_undefined, mean, std in summary.select(
        "domain", "model", "n_questions", "n_undefined", "mean_edi", "std_edi"
    ).iter_rows():
        shown = names.smaller if names.is_label else model
        cells = (domain, shown, integer(n), integer(n_undefined), decimal(mean, 3), decimal(std, 3))
        rows.append(Row((*cells, *_published_cells(published, domain)) if published else cells))
    return TableView(
        caption=f"Error Dispersion Index (EDI) of {names.the('smaller')}'s first errors: 0 when a question always fails"
        " at the same depth, 1 when its failures are spread as evenly as possible.",
        columns=(
            "domain",
            "model",
            _N_Q,
            "undefined",
            "mean EDI",
            "std EDI",
            *((_N_Q, "mean", "std") if published else ()),
        ),
        spans=(("", 2), ("this study", 4), ("published", 3)) if published else (),
        rows=tuple(rows),
        n_text_columns=2,
        notes=(_NOTE, _PUBLISHED_NOTE) if published else (_NOTE,),
        empty="No question was kept, so there are no first errors.",
    )


def _published_cells(published: PublishedFamily, domain: str) -> tuple[str, str, str]:
    row = published.edi.get(domain)
    return (integer(row.n_questions), decimal(row.mean, 3), decimal(row.std, 3)) if row else (MISSING,) * 3


def stage_table(data: ReportData, family: str) -> TableView:
    """First errors by stage and domain: number and share of the domain's errors."""
    errors = data.table("first_errors", family)
    domains = errors["domain"].unique(maintain_order=True).to_list()
    columns = {"all": errors} | {domain: errors.filter(pl.col("domain") == domain) for domain in domains}
    rows = [
        Row((f"{depth} {stage}", *(_number_and_share(frame, stage) for frame in columns.values())))
        for stage, depth in STAGE_DEPTHS.items()
    ]
    rows.append(Row(("first errors", *(integer(frame.height) for frame in columns.values())), "total"))
    return TableView(
        caption=f"First errors of {data.names(family).the('smaller')} by stage: number, and share (%) of the column.",
        columns=("depth and stage", *columns),
        rows=tuple(rows) if errors.height else (),
        empty="No first error was found.",
    )


def _number_and_share(frame: pl.DataFrame, stage: str) -> str:
    n = frame.filter(pl.col("stage") == stage).height
    return f"{integer(n)} ({ratio(n, frame.height)})"
