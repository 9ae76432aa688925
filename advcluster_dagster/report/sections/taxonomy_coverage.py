"""Section on the frozen taxonomy: coverage of new advantages, changes to its clusters."""

from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MAX_NAME, counted, decimal, foreign_text, integer, percent, ratio
from advcluster_dagster.report.views import Row, TableView


def coverage_table(data: ReportData, family: str) -> TableView | None:
    """New advantages by cluster of the frozen taxonomy; None if there are none."""
    coverage = data.table("taxonomy_coverage", family)
    n_new, n_outside = int(coverage["n_new"].sum()), int(coverage["n_outside"].sum())
    if not n_new:
        return None
    columns = ("cluster_id", "tag", "n_training", "n_new", "n_outside", "outside_share")
    rows = [
        Row(
            (f"#{cluster}", foreign_text(tag, MAX_NAME), integer(known), integer(new), integer(outside), percent(share))
        )
        for cluster, tag, known, new, outside, share in coverage.select(columns).iter_rows()
    ]
    n_known = int(coverage["n_training"].sum())
    rows.append(Row(("", "total", *map(integer, (n_known, n_new, n_outside)), ratio(n_outside, n_new)), "total"))
    return TableView(
        caption=f"{counted(n_new, 'new advantage')} placed in the frozen taxonomy {coverage['taxonomy'][0]!r}.",
        columns=("#", "frozen tag", "training", "new", "outside", "outside (%)"),
        rows=tuple(rows),
        n_text_columns=2,
        notes=(
            "Outside: farther from the nearest centroid than 99 % of the advantages the taxonomy was built from, so "
            "about 1 % of similar advantages are expected outside.",
        ),
    )


def changes_table(data: ReportData, family: str) -> TableView | None:
    """Changes to the clusters of the frozen taxonomy; None if there are none."""
    changes = data.table("taxonomy_changes", family)
    columns = (
        "change", "old_cluster_id", "old_tag", "new_cluster_id", "new_tag", "n_shared", "old_share", "new_share",
        "centre_distance",
    )  # fmt: skip
    if changes.is_empty():
        return None
    rows = tuple(
        Row(
            (
                change,
                _cluster(old, old_tag),
                _cluster(new, new_tag),
                integer(shared),
                percent(of_old),
                percent(of_new),
                decimal(distance, 3),
            )
        )
        for change, old, old_tag, new, new_tag, shared, of_old, of_new, distance in changes.select(columns).iter_rows()
    )
    return TableView(
        caption="Clusters of the frozen and of the current taxonomy.",
        columns=("change", "frozen", "current", "shared", "of frozen (%)", "of current (%)", "distance"),
        rows=rows,
        n_text_columns=3,
        notes=(
            "Shared: advantages in both clusters, and their share of each cluster's advantages that are also in the "
            "other taxonomy.",
        ),
    )


def _cluster(cluster_id: int | None, tag: str | None) -> str:
    return "" if cluster_id is None else f"#{cluster_id} {foreign_text(tag, MAX_NAME)}"
