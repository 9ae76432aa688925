"""Text alternatives of a family's figures, for readers who cannot see them."""

import polars as pl

from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import counted, decimal, foreign_text, percent


def alternative_texts(data: ReportData, family: str) -> dict[str, str]:
    """Text alternatives by kind of figure: accuracy, pass_rates, sweep, heatmap, depths. Values are as observed."""
    return {
        "accuracy": _accuracy(data, family),
        "pass_rates": _pass_rates(data, family),
        "sweep": _sweep(data, family),
        "heatmap": _heatmap(data, family),
        "depths": _depths(data, family),
    }


def gain_text(data: ReportData, family: str) -> str:
    """Text alternative of the scatter of gain over token factor."""
    rows = data.table("compute_summaries", family).filter(
        pl.col("benchmark") != "all", pl.col("task_format") == "all", pl.col("role") == "larger"
    )
    parts = [
        f"{benchmark} {decimal(100 * gain, 1)} at {decimal(factor)}"
        for benchmark, gain, factor in rows.drop_nulls(["gain", "token_factor"])
        .select("benchmark", "gain", "token_factor")
        .iter_rows()
    ]
    return _listed("Scatter of gain over token factor", "points gained at the factor: ", parts)


def curves_text(data: ReportData, family: str, domain: str) -> str:
    """Text alternative of accuracy against compute in a domain: one trial of each model."""
    rows = data.table("budget_curves", family).filter(pl.col("domain") == domain, pl.col("strategy") == "single")
    parts = [
        f"{data.names(family).of(role)} {percent(accuracy)} % with {decimal(tokens, 0)} tokens"
        for role, accuracy, tokens in rows.select("role", "accuracy", "tokens").iter_rows()
    ]
    return _listed(f"Accuracy against compute in {domain}, by strategy", "one trial: ", parts)


def _accuracy(data: ReportData, family: str) -> str:
    rows = data.table("accuracy_summary", family).filter(pl.col("level") == "domain")
    means = {(domain, role): mean for domain, role, mean in rows.select("domain", "role", "mean_accuracy").rows()}
    parts = [
        f"{domain} {decimal(means[domain, 'larger'], 1)} against {decimal(means.get((domain, 'smaller')), 1)} %"
        for domain, role in means
        if role == "larger"
    ]
    names = data.names(family)
    against = f"{names.the('larger', '')} against {names.the('smaller', '')}: "
    return _listed("Bars of both models' accuracies by domain", against, parts)


def _pass_rates(data: ReportData, family: str) -> str:
    n_all = data.table("pass_rate_table", family).height
    n_kept = data.table("analysis_question_set", family).height
    gap = data.study.question_set.min_gap
    return (
        f"Scatter of both models' pass rates over {counted(n_all, 'question')}: in {n_kept} "
        f"{data.names(family).the('larger')} is ahead by at least {gap:g}."
    )


def _sweep(data: ReportData, family: str) -> str:
    head = "Davies-Bouldin index and silhouette over the number of clusters, one line per PCA dimension"
    chosen = data.table("final_taxonomy", family).select("pca_dim", "n_clusters").unique()
    candidates = data.table("candidate_clusterings", family).join(chosen, on=chosen.columns, how="semi")
    if candidates.height != 1:
        return f"{head}."
    row = candidates.row(0, named=True)
    return (
        f"{head}. The chosen d' = {row['pca_dim']}, K = {row['n_clusters']} has an index of "
        f"{decimal(row['davies_bouldin'])} and a silhouette of {decimal(row['silhouette'])}."
    )


def _heatmap(data: ReportData, family: str) -> str:
    head = "Heatmap of the shares of each cluster by domain"
    rows = data.table("domain_distribution", family).drop_nulls("row_share")
    tags = dict(data.table("final_taxonomy", family).select("cluster_id", "tag").iter_rows())
    largest = rows.sort("row_share", descending=True).unique("cluster_id", keep="first", maintain_order=True)
    parts = [
        f"{foreign_text(tags.get(cluster) or f'cluster {cluster}')} {percent(share, 0)} % in {domain}"
        for cluster, domain, share in largest.select("cluster_id", "domain", "row_share").iter_rows()
    ]
    return _listed(head, "the largest share of each: ", parts)


def _depths(data: ReportData, family: str) -> str:
    medians = (
        data.table("error_dispersion", family)
        .filter(pl.col("edi") <= data.study.error_dispersion.max_edi_shown)
        .group_by("domain", maintain_order=True)
        .agg(pl.col("mean_depth").median())
    )
    parts = [f"{domain} {decimal(depth, 1)}" for domain, depth in medians.iter_rows()]
    return _listed("Violins of the questions' mean first-error depth by domain", "medians of 1 to 5: ", parts)


def _listed(head: str, lead: str, parts: list[str]) -> str:
    return f"{head}; {lead}{', '.join(parts)}." if parts else f"{head}."
