"""Summary on the first page: where the larger model is better, its habits, their certainty, first errors.

Every number comes from a table, and every statement of certainty from an interval or a test.
"""

import polars as pl

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import (
    counted,
    decimal,
    integer,
    percent,
    quoted,
    ratio,
    signed,
    word_list,
)
from advcluster_dagster.report.sections import certainty, stand_ins
from advcluster_dagster.report.stand_ins import is_stand_in
from advcluster_dagster.report.views import Row, TableView

#: Caveat for clusters of questions that may have been kept by chance.
_NO_GAP = (
    "No gap between the two models is established, neither over all questions nor on any single one, so no claims are"
    " made about these clusters: chance alone keeps some questions."
)


def findings(data: ReportData, family: str) -> tuple[str, ...]:
    """Sentences on the findings of a family, in reading order; empty parts are omitted, a missing taxonomy explained.

    Results that an embedded judge produced from traces that are not simulated are omitted.
    """
    parts = [_accuracy, _kept, _extracted, _taxonomy, _first_errors]
    if is_stand_in(data.study, family, "extractor"):
        parts[2:] = [stand_ins.extraction_sentences, _missing_taxonomy]
    elif is_stand_in(data.study, family, "summariser"):
        parts[3:4] = [_missing_taxonomy]
    return tuple(sentence for part in parts for sentence in part(data, family))


def accuracy_findings(data: ReportData, family: str) -> tuple[str, ...]:
    """Findings that need no judge: accuracies, their difference, kept questions and their gap."""
    return tuple(sentence for part in (_accuracy, _kept) for sentence in part(data, family))


def _accuracy(data: ReportData, family: str) -> list[str]:
    """Paired difference in accuracy, and the domains where its interval excludes 0."""
    models = data.study.families[family]
    paired = data.table("paired_accuracies", family).filter(pl.col("task_format") == "all")
    overall = paired.filter(pl.col("level") == "family")
    if overall.is_empty():
        return [f"No accuracy could be compared for {models.larger.shown_as} and {models.smaller.shown_as}."]
    row = overall.row(0, named=True)
    ends = certainty.percent_interval(row["difference_low"], row["difference_high"])
    sentence = (
        f"{models.larger.shown_as} answers {percent(row['larger_mean'])} % correctly, {models.smaller.shown_as}"
        f" {percent(row['smaller_mean'])} %: a difference of {signed(100 * row['difference'], 1)} points {ends} over"
        f" {counted(summary_domains(data, family), 'domain')}"
    )
    of_domains = paired.filter(pl.col("level") == "domain")
    ahead = of_domains.filter(pl.col("difference_low") > 0)["domain"].to_list()
    behind = of_domains.filter(pl.col("difference_high") < 0)["domain"].to_list()
    undecided = [domain for domain in of_domains["domain"].to_list() if domain not in (*ahead, *behind)]
    parts = [
        f"{words} {word_list(names)}"
        for words, names in (("ahead in", ahead), ("behind in", behind), ("indistinguishable in", undecided))
        if names
    ]
    return [f"{sentence}; {', '.join(parts)}." if of_domains.height > 1 else f"{sentence}."]


def summary_domains(data: ReportData, family: str) -> int:
    """Number of domains with an accuracy."""
    return data.table("accuracy_summary", family).filter(pl.col("level") == "domain")["domain"].n_unique()


def _kept(data: ReportData, family: str) -> list[str]:
    """Number of questions that the gap rule keeps, and the gap expected in fresh trials."""
    rates, kept = data.table("pass_rate_table", family), data.table("analysis_question_set", family)
    pool = rates.drop_nulls(["larger_pass_rate", "smaller_pass_rate"]).height
    without = rates.height - pool
    verb = "shows" if kept.height == 1 else "show"
    sentence = (
        f"{integer(kept.height)} of {counted(pool, 'question')} {verb} an observed gap of at least"
        f" {data.study.question_set.min_gap:g}"
        + (f" ({counted(without, 'other')} without a scored trial of both models)" if without else "")
    )
    whole = data.table("selection_reliabilities", family).filter(pl.col("domain") == "all").drop_nulls("estimated_gap")
    if not kept.height or whole.is_empty():
        return [f"{sentence}."]
    row = whole.row(0, named=True)
    few = certainty.uncorrected_domains(data, family)
    where = "" if few == list(data.domains_run(family)) else f" in {word_list(few)}"
    caution = f" With so few questions{where}, the estimate barely corrects for the selection." if few else ""
    return [
        f"{sentence}: {decimal(row['observed_gap'])} on average, an estimated {decimal(row['estimated_gap'])} in fresh"
        f" trials; {percent(row['false_keep_share'], 0)} % of them are expected to have a true gap below"
        f" {data.study.question_set.min_gap:g}.{caution}"
    ]


def _extracted(data: ReportData, family: str) -> list[str]:
    pairs, corpus = data.table("trace_pairs", family).height, data.table("advantage_corpus", family).height
    if not pairs:
        return []
    failed = data.table("extraction_failures", family).height
    kept = int(data.table("deduplicated_advantages", family)["is_kept"].sum())
    return [
        f"{counted(pairs, 'pair')} of traces yielded {counted(corpus, 'advantage description')} "
        f"({counted(failed, 'pair')} failed); {integer(kept)} remain after deduplication."
    ]


def _taxonomy(data: ReportData, family: str) -> list[str]:
    """The clusters, how many are stable under resampling, and which are specialised in a domain."""
    taxonomy = data.table("final_taxonomy", family).sort("size", "cluster_id", descending=[True, False])
    if taxonomy.is_empty():
        return [f"There is no taxonomy: {no_taxonomy_reason(data, family)}"]
    total, first = int(taxonomy["size"].sum()), taxonomy.row(0, named=True)
    sentences = [
        f"The advantages form {counted(taxonomy.height, 'cluster')} (d' = {first['pca_dim']}, K ="
        f" {first['n_clusters']}), the largest {quoted(first['tag'])} with {ratio(first['size'], total, 0)} %"
        f"{_stable_clusters(data, family, taxonomy)}."
    ]
    if not data.is_gap_shown(family):
        return [*sentences, _NO_GAP]
    if data.table("domain_distribution", family)["domain"].n_unique() < 2:
        return sentences
    special = taxonomy.filter(pl.col("kind") == "specialised").select("tag", "main_domain").rows()
    if not special:
        return [*sentences, "No cluster is specialised in a domain."]
    listed = "; ".join(f"{quoted(tag)} in {domain}" for tag, domain in special)
    return [*sentences, f"{counted(len(special), 'is', 'are')} specialised: {listed}."]


def _stable_clusters(data: ReportData, family: str, taxonomy: pl.DataFrame) -> str:
    """End of a sentence on how many clusters are stable when questions are resampled; empty if unknown."""
    keys = ["pca_dim", "n_clusters", "cluster_id"]
    stability = data.table("cluster_stabilities", family).join(taxonomy, on=keys, how="semi")
    if stability.is_empty() or not data.is_gap_shown(family):
        return ""
    n_stable = stability.filter(pl.col("verdict").is_in(["stable", "very stable"])).height
    return f"; {integer(n_stable)} of {integer(taxonomy.height)} are stable when questions are resampled"


def _missing_taxonomy(data: ReportData, family: str) -> list[str]:
    """Sentence on why there is no taxonomy; empty if there is one."""
    return _taxonomy(data, family) if data.table("final_taxonomy", family).is_empty() else []


def no_taxonomy_reason(data: ReportData, family: str) -> str:
    """Reason why a family has no taxonomy, to follow a colon."""
    reason = data.no_taxonomy_reasons.get(family, "the taxonomy has not been built.")
    return reason if reason.endswith(".") else f"{reason}."


def _first_errors(data: ReportData, family: str) -> list[str]:
    """Most frequent stage of first errors; ranked only if the interval of the lead excludes 0."""
    shares = data.table("stage_shares", family).filter(pl.col("domain") == "all")
    ranked = shares.filter(pl.col("stage").is_in(list(STAGE_DEPTHS)), pl.col("question_share") > 0).sort(
        "question_share", descending=True, maintain_order=True
    )
    sentences = []
    if ranked.height:
        top = ranked.row(0, named=True)
        ends = certainty.percent_interval(top["low"], top["high"], 0)
        share = f"{percent(top['question_share'], 0)} % {ends}"
        if ranked.height == 1 or (top["lead_low"] is not None and top["lead_low"] > 0):
            sentences.append(
                f"{data.names(family).capitalised('smaller')} most often fails first at {top['stage']}"
                f" (depth {STAGE_DEPTHS[top['stage']]}): {share}."
            )
        else:
            second = ranked.row(1, named=True)
            sentences.append(
                f"First errors observed at {top['stage']} ({share}) and {second['stage']}"
                f" ({percent(second['question_share'], 0)} %) cannot be ranked."
            )
    tested = data.table("dispersion_tests", family).filter(pl.col("domain") == "all").drop_nulls("p_value")
    for row in tested.iter_rows(named=True):
        is_low = row["p_value"] <= data.study.checks.max_dispersion_p
        verdict = "concentrate within questions" if is_low else "do not concentrate within questions beyond chance"
        sentences.append(
            f"They {verdict} (mean EDI {decimal(row['mean_edi'])}, {decimal(row['null_mean_edi'])} by chance, p"
            f" {'' if row['p_value'] < 0.001 else '= '}{certainty.p_text(row['p_value'])})."
        )
    return sentences


def recovery_table(data: ReportData) -> TableView | None:
    """Recovery of the planted skills and stages; None without simulated families."""
    if data.recovery is None or data.recovery.is_empty():
        return None
    rows = tuple(
        Row((family, decimal(index, 3), integer(n), percent(accuracy), integer(n_pairs)))
        for family, index, n, accuracy, n_pairs in data.recovery.select(
            "family", "adjusted_rand_index", "n_advantages", "stage_accuracy", "n_pairs"
        ).iter_rows()
    )
    return TableView(
        caption="Recovery of the ground truth of simulated families: adjusted Rand index of the final taxonomy against "
        "the planted skills (1 is perfect, 0 is chance), and share of first errors with the planted stage.",
        columns=("family", "adjusted Rand index", "advantages", "stages right (%)", "pairs"),
        rows=rows,
    )
