"""The first page: what was found, in sentences whose every number comes from the tables."""

import polars as pl

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import (
    counted,
    decimal,
    difference,
    integer,
    isolated,
    percent,
    ratio,
    word_list,
)
from advcluster_dagster.report.sections import stand_ins
from advcluster_dagster.report.stand_ins import is_stand_in
from advcluster_dagster.report.views import Row, TableView


def findings(data: ReportData, family: str) -> tuple[str, ...]:
    """What was found for a family, in reading order; without data no sentence, but a missing taxonomy is explained.

    What an embedded judge made of traces that are not simulated is left out.
    """
    parts = [_accuracy, _kept, _extracted, _taxonomy, _first_errors]
    if is_stand_in(data.study, family, "extractor"):
        parts[2:] = [stand_ins.extraction_sentences, _missing_taxonomy]
    elif is_stand_in(data.study, family, "summariser"):
        parts[3:4] = [_missing_taxonomy]
    return tuple(sentence for part in parts for sentence in part(data, family))


def _accuracy(data: ReportData, family: str) -> list[str]:
    summary = data.table("accuracy_summary", family).filter(pl.col("level") == "family")
    means = dict(summary.select("role", "mean_accuracy").iter_rows())
    gain = difference(means.get("larger"), means.get("smaller"))
    models = data.study.families[family]
    if gain is None:
        return [f"No accuracy could be compared for {models.larger.model} and {models.smaller.model}."]
    verdict = "more" if gain > 0 else "less" if gain < 0 else "exactly as much"
    distance = f"{decimal(abs(gain))} points {verdict} than" if gain else "as much as"
    n = summary_domains(data, family)
    return [
        f"{models.larger.model} answers {decimal(means['larger'])} % correctly over {counted(n, 'domain')}, "
        f"{distance} {models.smaller.model} ({decimal(means['smaller'])} %)."
    ]


def summary_domains(data: ReportData, family: str) -> int:
    """How many domains have an accuracy."""
    return data.table("accuracy_summary", family).filter(pl.col("level") == "domain")["domain"].n_unique()


def _kept(data: ReportData, family: str) -> list[str]:
    pool, kept = data.table("pass_rate_table", family).height, data.table("analysis_question_set", family)
    by_domain = kept.group_by("domain", maintain_order=True).len().rows()
    listed = f" ({', '.join(f'{domain} {integer(n)}' for domain, n in by_domain)})" if by_domain else ""
    verb = "shows" if kept.height == 1 else "show"
    return [
        f"{integer(kept.height)} of {counted(pool, 'question')} {verb} an advantage of at least "
        f"{data.study.question_set.min_gap:g} in pass rate{listed}."
    ]


def _extracted(data: ReportData, family: str) -> list[str]:
    pairs, corpus = data.table("trace_pairs", family).height, data.table("advantage_corpus", family).height
    if not pairs:
        return []
    failed = data.table("extraction_failures", family).height
    kept = int(data.table("deduplicated_advantages", family)["is_kept"].sum())
    return [
        f"{counted(pairs, 'pair')} of traces gave {counted(corpus, 'advantage description')} "
        f"({counted(failed, 'pair')} failed); {integer(kept)} remain after deduplication."
    ]


def _taxonomy(data: ReportData, family: str) -> list[str]:
    taxonomy = data.table("final_taxonomy", family).sort("size", "cluster_id", descending=[True, False])
    if taxonomy.is_empty():
        return [f"There is no taxonomy: {no_taxonomy_reason(data, family)}"]
    total, first = int(taxonomy["size"].sum()), taxonomy.row(0, named=True)
    special = taxonomy.filter(pl.col("kind") == "specialised").select("tag", "main_domain").rows()
    sentences = [
        f"They form {counted(taxonomy.height, 'cluster')} (d' = {first['pca_dim']}, K = {first['n_clusters']}); "
        f"the largest, {isolated(first['tag'])}, holds {ratio(first['size'], total)} % of them."
    ]
    if data.table("domain_distribution", family)["domain"].n_unique() < 2:
        return sentences
    common = taxonomy.height - len(special)
    listed = "; ".join(f"{isolated(tag)} in {domain}" for tag, domain in special)
    split = f"{counted(common, 'is', 'are')} common to several domains, {integer(len(special))} specialised"
    return [*sentences, f"{split}{f' ({listed})' if listed else ''}."]


def _missing_taxonomy(data: ReportData, family: str) -> list[str]:
    """Why there is no taxonomy; nothing where there is one."""
    return _taxonomy(data, family) if data.table("final_taxonomy", family).is_empty() else []


def no_taxonomy_reason(data: ReportData, family: str) -> str:
    """Why a family has no taxonomy, as a sentence without its first words."""
    reason = data.no_taxonomy_reasons.get(family, "the taxonomy has not been made.")
    return reason if reason.endswith(".") else f"{reason}."


def _first_errors(data: ReportData, family: str) -> list[str]:
    stages = data.table("first_errors", family).group_by("stage").len()
    if stages.is_empty():
        return []
    counts = dict(stages.iter_rows())
    top = max(STAGE_DEPTHS, key=lambda stage: (counts.get(stage, 0), -STAGE_DEPTHS[stage]))
    total = sum(counts.values())
    sentences = [
        f"The smaller model goes wrong first most often at {top} (depth {STAGE_DEPTHS[top]}): "
        f"{ratio(counts[top], total)} % of {counted(total, 'first error')}."
    ]
    means = data.table("edi_summary", family).drop_nulls("mean_edi").select("domain", "mean_edi").rows()
    if not means:
        return sentences
    bound = data.study.checks.max_mean_edi
    above = [domain for domain, mean in means if mean > bound]
    values = word_list([f"{decimal(mean, 3)} in {domain}" for domain, mean in means])
    note = f"above {bound:g} in {word_list(above)}" if above else f"nowhere above {bound:g}"
    return [*sentences, f"The mean Error Dispersion Index is {values}, {note}."]


def recovery_table(data: ReportData) -> TableView | None:
    """How well the planted skills and stages are found again; None without simulated families."""
    if data.recovery is None or data.recovery.is_empty():
        return None
    rows = tuple(
        Row((family, decimal(index, 3), integer(n), percent(accuracy), integer(n_pairs)))
        for family, index, n, accuracy, n_pairs in data.recovery.select(
            "family", "adjusted_rand_index", "n_advantages", "stage_accuracy", "n_pairs"
        ).iter_rows()
    )
    return TableView(
        caption="Recovery of what was planted in simulated families: adjusted Rand index of the final taxonomy against "
        "the planted skills (1 is perfect, 0 is chance), and first errors whose stage is the planted one.",
        columns=("family", "adjusted Rand index", "advantages", "stages right (%)", "pairs"),
        rows=rows,
    )
