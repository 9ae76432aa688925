"""Section on themes: derived and declared themes, shared patterns, published counterparts (paper section 5)."""

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import MAX_NAME, decimal, foreign_text, integer, percent
from advcluster_dagster.report.sections.certainty import percent_interval
from advcluster_dagster.report.views import Row, TableView


def theme_tables(data: ReportData) -> tuple[TableView, ...]:
    """Tables on themes, without empty ones."""
    tables = (_themes(data), _declared(data), _patterns(data), _published(data))
    return tuple(table for table in tables if table.rows)


def _rows(data: ReportData, name: str) -> pl.DataFrame:
    return data.tables.get(name, TABLES[name].empty())


def _tags(data: ReportData) -> dict[tuple[str, int], str]:
    taxonomy = _rows(data, "final_taxonomy")
    return {
        (family, cluster): f"{family} #{cluster} {foreign_text(tag, MAX_NAME)}"
        for family, cluster, tag in taxonomy.select("family", "cluster_id", "tag").iter_rows()
    }


def _themes(data: ReportData) -> TableView:
    tags, members = _tags(data), _rows(data, "theme_members")
    rows = []
    for row in _rows(data, "themes").sort("n_advantages", descending=True).iter_rows(named=True):
        inside = members.filter(pl.col("theme_id") == row["theme_id"])
        names = [tags.get(key, "") for key in inside.select("family", "cluster_id").iter_rows()]
        support = inside["support"].mean()
        rows.append(
            Row(
                (
                    foreign_text(row["name"], MAX_NAME),
                    foreign_text(row["definition"]),
                    "; ".join(names),
                    integer(row["n_advantages"]),
                    percent(float(str(support)), 0),
                )
            )
        )
    agreement = _rows(data, "themes")["agreement"].drop_nulls()
    notes = [f"Mean adjusted Rand index of two repeats: {decimal(agreement[0])}."] if len(agreement) else []
    without = members.filter(pl.col("theme_id").is_null()).height
    return TableView(
        caption=f"Themes over the clusters of all families, from {integer(data.study.themes.n_repeats)} repeats."
        " Support: how often the repeats group a cluster with the others of its theme.",
        columns=("theme", "definition", "clusters", "advantages", "support (%)"),
        rows=tuple(rows),
        n_text_columns=3,
        notes=(*notes, *([f"Clusters without a theme: {integer(without)}."] if without else [])),
    )


def _declared(data: ReportData) -> TableView:
    rows = tuple(
        Row(
            (
                foreign_text(row["theme"], MAX_NAME),
                row["family"],
                "all domains" if row["domain"] == "all" else row["domain"],
                row["basis"],
                integer(row["n_advantages"]),
                f"{percent(row['share'], 0)} {percent_interval(row['low'], row['high'], 0)}",
            ),
            "subtotal" if row["domain"] == "all" else "plain",
        )
        for row in _rows(data, "theme_tests").iter_rows(named=True)
    )
    return TableView(
        caption="Themes declared in the study: share (%) of the advantages that belong to them.",
        columns=("theme", "family", "domain", "judged by", "advantages", "share"),
        rows=rows,
        n_text_columns=4,
    )


def _patterns(data: ReportData) -> TableView:
    tags = _tags(data)

    def named(member: str) -> str:
        family, _, cluster = member.rpartition("#")
        return tags.get((family, int(cluster)), member)

    rows = tuple(
        Row(("; ".join(named(member) for member in row["members"]), decimal(row["similarity"])))
        for row in _rows(data, "shared_patterns").iter_rows(named=True)
    )
    return TableView(
        caption="Patterns shared by families: clusters more similar than different clusters of one family, each among"
        " the other's two nearest.",
        columns=("clusters", "similarity"),
        rows=rows,
    )


def _published(data: ReportData) -> TableView:
    tags = _tags(data)
    rows = tuple(
        Row(
            (
                tags.get((row["family"], row["cluster_id"]), ""),
                f"{row['published_family']} #{row['published_cluster']} {row['published_tag']}",
                decimal(row["similarity"]),
                "yes" if row["is_match"] else "no",
            )
        )
        for row in _rows(data, "published_matches").iter_rows(named=True)
    )
    null = _rows(data, "published_matches")["null_similarity"].drop_nulls()
    return TableView(
        caption="Nearest published cluster of each cluster, by the embedding of tag and definition.",
        columns=("cluster", "nearest published cluster", "similarity", "beyond chance"),
        rows=rows,
        n_text_columns=2,
        notes=(
            f"Beyond chance: above {decimal(null[0])}, the 95th percentile between clusters of one published family.",
        )
        if len(null)
        else (),
    )
