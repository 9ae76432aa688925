"""Section on deduplication, candidates and final taxonomy (paper section 3.2.3, tables 2 to 4, 10, figure 2)."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import (
    MAX_NAME,
    counted,
    decimal,
    foreign_text,
    integer,
    percent,
    ratio,
)
from advcluster_dagster.report.published_results import PublishedFamily
from advcluster_dagster.report.role_names import RoleNames
from advcluster_dagster.report.views import CaseView, ClusterView, Example, Row, TableView

MAX_EXAMPLES = 3
#: Shown instead of a kind if the larger model is not better beyond chance.
_NO_KIND = "no gap shown"
_CRITERIA = ("distinctness", "granularity", "interpretability", "balance", "resolution")
_CANDIDATE = ["pca_dim", "n_clusters"]


def deduplication_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Descriptions before and after deduplication, by domain and in total."""
    frame = data.table("deduplicated_advantages", family)
    rows = []
    for domain, of_domain in frame.group_by("domain", maintain_order=True):
        rows.append(Row((str(domain[0]), *_removal(of_domain.height, int(of_domain["is_kept"].sum())))))
    if rows:
        rows.append(Row(("total", *_removal(frame.height, int(frame["is_kept"].sum()))), "total"))
    if rows and published:
        total = published.deduplication
        numbers = (total.before, total.after, total.before - total.after)
        rows.append(Row(("published total", *map(integer, numbers), decimal(total.removed_percent))))
    settings = data.study.deduplication
    return TableView(
        caption=f"Advantage descriptions before and after deduplication (cosine above {settings.threshold:g} to a "
        f"description kept before, within a {settings.scope}).",
        columns=("domain", "before", "after", "removed", "removed (%)"),
        rows=tuple(rows),
        empty="There are no descriptions.",
    )


def _removal(before: int, after: int) -> tuple[str, str, str, str]:
    return integer(before), integer(after), integer(before - after), ratio(before - after, before, 2)


def candidate_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Retained candidates with metrics and mean scores, best total first; the chosen one is marked."""
    reviews = data.table("candidate_reviews", family)
    scores = reviews.group_by(_CANDIDATE).agg(
        pl.col(*_CRITERIA, "total").mean(), n_reviews=pl.len(), n_valid=pl.col("total").count()
    )
    taxonomy = data.table("final_taxonomy", family)
    chosen = taxonomy.select(_CANDIDATE).row(0) if taxonomy.height else None
    is_chosen = (pl.col("pca_dim") == chosen[0]) & (pl.col("n_clusters") == chosen[1]) if chosen else pl.lit(False)
    candidates = data.table("candidate_clusterings", family).filter(pl.col("is_retained") | is_chosen)
    ranked = candidates.join(scores, on=_CANDIDATE, how="left").sort(
        "total", "davies_bouldin", "silhouette", "pca_dim", "n_clusters",
        descending=[True, False, True, False, False], nulls_last=True,
    )  # fmt: skip
    rows = [_candidate_row(row, chosen) for row in ranked.to_dicts()]
    return TableView(
        caption="Retained candidates: PCA dimension d', explained variance, clusters K, Davies-Bouldin index (DBI, "
        "lower is better), silhouette, and the reviewer's scores.",
        columns=(
            "",
            "d'",
            "var. (%)",
            "K",
            "DBI",
            "silh.",
            "dist.",
            "gran.",
            "interp.",
            "bal.",
            "resol.",
            "total",
            "reviews",
        ),
        rows=tuple(rows),
        notes=_candidate_notes(data, family, published),
        empty="No candidate was retained.",
    )


def _candidate_notes(data: ReportData, family: str, published: PublishedFamily | None) -> tuple[str, ...]:
    reviews = data.table("candidate_reviews", family)
    pin = data.study.clustering.pins.get(family)
    notes = ["Scores are means over the reviews, 1 to 10; the total is out of 50. ● marks the chosen candidate."]
    failed = reviews.filter(pl.col("total").is_null()).height
    if failed:
        notes.append(f"{counted(failed, 'review')} of {integer(reviews.height)} failed and are not in the means.")
    unnamed = data.table("cluster_summaries", family).filter(pl.col("tag").is_null()).height
    if unnamed:
        notes.append(f"{counted(unnamed, 'cluster')} of the retained candidates could not be named.")
    if pin:
        notes.append(f"Pinned manually: d' = {pin.pca_dim}, K = {pin.n_clusters}. Reason: {foreign_text(pin.reason)}")
    if published:
        notes.append(f"Published choice: d' = {published.chosen.pca_dim}, K = {published.chosen.n_clusters}.")
    return tuple(notes)


def _candidate_row(row: dict[str, float | int | None], chosen: tuple[int, int] | None) -> Row:
    is_chosen = chosen == (row["pca_dim"], row["n_clusters"])
    return Row(
        (
            "●" if is_chosen else "",
            decimal(row["pca_dim"], 0),
            percent(row["explained_variance"]),
            decimal(row["n_clusters"], 0),
            decimal(row["davies_bouldin"], 3),
            decimal(row["silhouette"], 3),
            *(decimal(row[name]) for name in _CRITERIA),
            decimal(row["total"]),
            f"{row['n_valid'] or 0}/{row['n_reviews'] or 0}",
        ),
        "chosen" if is_chosen else "plain",
    )


def taxonomy_table(data: ReportData, family: str, published: PublishedFamily | None) -> TableView:
    """Clusters by size: tag, size, share, kind, main domain, entropy over domains."""
    taxonomy = _by_size(data, family)
    total = int(taxonomy["size"].sum())
    rows = tuple(
        Row(
            (
                f"#{cluster}",
                foreign_text(tag, MAX_NAME),
                kind or _NO_KIND,
                domain,
                integer(size),
                ratio(size, total),
                decimal(entropy),
            )
        )
        for cluster, tag, kind, domain, size, entropy in taxonomy.select(
            "cluster_id", "tag", "kind", "main_domain", "size", "domain_entropy"
        ).iter_rows()
    )
    notes = ["Entropy: of the cluster over the domains, normalised; 0 is a single domain, 1 an even spread."]
    if published:
        sizes = ", ".join(map(integer, published.cluster_sizes))
        notes.append(f"Published sizes by cluster number: {sizes}. The numbers do not correspond to ours.")
    return TableView(
        caption=f"The final taxonomy: {counted(taxonomy.height, 'cluster')} of {counted(total, 'advantage')}.",
        columns=("#", "tag", "kind", "main domain", "advantages", "share (%)", "entropy"),
        rows=rows,
        n_text_columns=4,
        notes=tuple(notes),
        empty="There is no taxonomy.",
    )


def distribution_table(data: ReportData, family: str) -> TableView:
    """Advantages by cluster and domain: number and share of the domain, the column-wise view of the heatmap."""
    frame = data.table("domain_distribution", family)
    domains = frame["domain"].unique(maintain_order=True).to_list()
    cells = {
        (cluster, domain): f"{integer(n)} ({percent(share)})"
        for cluster, domain, n, share in frame.select(
            "cluster_id", "domain", "n_advantages", "column_share"
        ).iter_rows()
    }
    tags = data.table("final_taxonomy", family).select("cluster_id", "tag").rows()
    rows = [
        Row((f"#{cluster} {foreign_text(tag, MAX_NAME)}", *(cells.get((cluster, d), integer(None)) for d in domains)))
        for cluster, tag in tags
    ]
    if rows:
        totals = (int(frame.filter(pl.col("domain") == domain)["n_advantages"].sum()) for domain in domains)
        rows.append(Row(("total", *map(integer, totals)), "total"))
    return TableView(
        caption="Advantages by cluster and domain: number, and share (%) of the domain's advantages.",
        columns=("cluster", *domains),
        rows=tuple(rows),
        empty="There is no taxonomy.",
    )


def _by_size(data: ReportData, family: str) -> pl.DataFrame:
    return data.table("final_taxonomy", family).sort("size", "cluster_id", descending=[True, False])


def cluster_views(data: ReportData, family: str) -> tuple[ClusterView, ...]:
    """Clusters by size with definition and examples."""
    taxonomy, names = _by_size(data, family), data.names(family)
    supported = data.table("evidence_checks", family).select("advantage_id", "is_supported")
    members = (
        data.table("taxonomy_assignments", family)
        .join(data.table("advantage_corpus", family).drop("domain"), on="advantage_id", how="left")
        .join(supported, on="advantage_id", how="left")
        .with_columns(pl.col("is_supported").fill_null(False))
    )
    total = int(taxonomy["size"].sum())
    cases = {row["cluster_id"]: _case(row, names) for row in data.table("worked_cases", family).iter_rows(named=True)}
    return tuple(
        ClusterView(
            cluster_id=row["cluster_id"],
            tag=row["tag"],
            definition=row["definition"],
            facts=_facts(row, total),
            is_specialised=row["kind"] == "specialised",
            examples=_examples(members.filter(pl.col("cluster_id") == row["cluster_id"]), names),
            case=cases.get(row["cluster_id"]),
        )
        for row in taxonomy.to_dicts()
    )


def _case(row: Mapping[str, Any], names: RoleNames) -> CaseView:
    excerpts = []
    for role in ROLES:
        text, start, end = row[f"{role}_excerpt"], row[f"{role}_start"], row[f"{role}_end"]
        excerpts.append((names.model(role), text[:start], text[start:end], text[end:]))
    return CaseView(row["advantage_id"], row["question"], row["domain"], row["stage"], tuple(excerpts))


def _facts(row: dict[str, str | int | None], total: int) -> str:
    size = int(row["size"] or 0)
    where = f"specialised in {row['main_domain']}" if row["kind"] == "specialised" else str(row["kind"] or _NO_KIND)
    return f"{counted(size, 'advantage')} ({ratio(size, total)} %), {where}"


def _examples(members: pl.DataFrame, names: RoleNames) -> tuple[Example, ...]:
    """Choose up to three members, rotating over domains (largest first) and preferring new questions.

    Within a domain, members whose quotes occur in the traces come first, then those with fewer style violations, then
    the order of ids.
    """
    rounds = (
        members.with_columns(n_broken=pl.col("rule_violations").list.len().fill_null(0))
        .sort(~pl.col("is_supported"), "n_broken", "advantage_id")
        .with_columns(again=pl.int_range(pl.len()).over("question_id"), of_domain=pl.len().over("domain"))
        .sort("again", ~pl.col("is_supported"), "n_broken", "advantage_id")
        .with_columns(turn=pl.int_range(pl.len()).over("domain"))
        .sort("turn", "of_domain", "domain", descending=[False, True, False])
    )
    texts = rounds.unique("advantage", keep="first", maintain_order=True).head(MAX_EXAMPLES)
    columns = ("advantage_id", "domain", "advantage", "evidence", "larger_quote", "smaller_quote", "is_supported")
    return tuple(
        Example(name, domain, advantage, evidence, _quotes(names, larger, smaller) if is_supported else ())
        for name, domain, advantage, evidence, larger, smaller, is_supported in texts.select(columns).iter_rows()
    )


def _quotes(names: RoleNames, larger: str, smaller: str) -> tuple[tuple[str, str], ...]:
    """Quoted passages by model, empty ones omitted."""
    quotes = ((names.model("larger"), larger), (names.model("smaller"), smaller))
    return tuple((who, quote) for who, quote in quotes if quote)
