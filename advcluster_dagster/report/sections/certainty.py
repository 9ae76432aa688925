"""Uncertainty of the findings: paired accuracies, gaps after selection, stability, dispersion against chance."""

from typing import Any

import polars as pl

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import (
    MAX_NAME,
    MISSING,
    counted,
    decimal,
    foreign_text,
    integer,
    percent,
    signed,
    word_list,
)
from advcluster_dagster.report.views import Row, TableView
from advcluster_dagster.science.question_set.gap_posteriors import MIN_QUESTIONS
from advcluster_dagster.science.question_set.question_statistics import GapRule, priors_of

_LEVEL_ROWS: dict[str, Any] = {"benchmark": "plain", "domain": "subtotal", "family": "total"}
#: With up to this many trials, no gap test can reach p = 0.05.
_NO_GAP_TEST = 2


def interval(low: float | None, high: float | None, places: int = 2) -> str:
    """Format ``[low, high]``; a dash if undefined."""
    return MISSING if low is None or high is None else f"[{decimal(low, places)}, {decimal(high, places)}]"


def percent_interval(low: float | None, high: float | None, places: int = 1) -> str:
    """Format an interval of shares in percent."""
    return interval(None if low is None else 100 * low, None if high is None else 100 * high, places)


def paired_table(data: ReportData, family: str) -> TableView:
    """Accuracy of both models on the same questions and their difference, with intervals over source items."""
    confidence, names = f"{100 * data.study.statistics.confidence:g} %", data.names(family)
    order = pl.col("level").replace_strict(dict(zip(_LEVEL_ROWS, range(3), strict=True)), default=3)
    frame = data.table("paired_accuracies", family).filter(pl.col("task_format") == "all")
    place = {domain: i for i, domain in enumerate((*data.study.domains, "all"))}
    rank = pl.col("domain").replace_strict(place, default=len(place))
    rows = []
    for row in frame.sort(rank, order, "benchmark").iter_rows(named=True):
        label = row["benchmark"] if row["level"] == "benchmark" else f"mean of {row['domain']}"
        rows.append(
            Row(
                (
                    "all domains" if row["level"] == "family" else foreign_text(label),
                    integer(row["n_questions"]),
                    f"{percent(row['smaller_mean'])} {percent_interval(row['smaller_low'], row['smaller_high'])}",
                    f"{percent(row['larger_mean'])} {percent_interval(row['larger_low'], row['larger_high'])}",
                    signed(100 * row["difference"], 1),
                    percent_interval(row["difference_low"], row["difference_high"]),
                    p_text(row["p_value"]),
                ),
                _LEVEL_ROWS[row["level"]],
            )
        )
    return TableView(
        caption=f"Paired comparison on the same questions: accuracy in percent and difference in points, each with its"
        f" {confidence} interval over source items.",
        columns=("", "questions", names.smaller, names.larger, "difference", confidence, "p"),
        rows=tuple(rows),
        notes=("The ± in the other table is the spread of single trials, not the uncertainty of the mean.",),
        empty="No question has a scored trial of both models.",
    )


def p_text(p: float | None) -> str:
    """Format a p-value with three places, or as ``< 0.001``."""
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else decimal(p, 3)


def selection_table(data: ReportData, family: str) -> TableView:
    """Observed gap of the kept questions and the gap expected in fresh trials."""
    replicated = {row["domain"]: row for row in data.table("split_half_gaps", family).iter_rows(named=True)}
    rows = []
    for row in _with_total(data.table("selection_reliabilities", family)):
        half = replicated.get(row["domain"], {})
        rows.append(
            Row(
                (
                    "all domains" if row["domain"] == "all" else row["domain"],
                    integer(row["n_kept"]),
                    integer(row["n_pool"]),
                    decimal(row["observed_gap"]),
                    decimal(row["estimated_gap"]),
                    decimal(half.get("replicated_gap")),
                    percent(row["false_keep_share"]),
                    decimal(row["expected_missed"], 1),
                    integer(row["n_discoveries"]),
                ),
                "total" if row["domain"] == "all" else "plain",
            )
        )
    notes = [
        "Questions are kept because their observed gap is large, so it overstates the gap of fresh trials; the estimate"
        " corrects for that. Other half: questions are selected on half of the trials and measured on the other, a"
        " lower bound. False keeps: expected share of kept questions whose true gap is below the rule's. Discoveries:"
        f" questions whose gap exceeds chance at a false discovery rate of {data.study.statistics.fdr:g}, kept or not."
    ]
    if few := uncorrected_domains(data, family):
        notes.append(
            f"Too few complete questions for a prior (under {MIN_QUESTIONS}) in {word_list(few)}: there the estimate"
            " barely corrects for the selection."
        )
    if data.study.trials == _NO_GAP_TEST:
        notes.append(
            "With two trials no single question's gap can be significant (the smallest possible p is 0.0625), an"
            " Error Dispersion Index is 0 or 1, and each split half has one trial."
        )
    elif data.study.trials < _NO_GAP_TEST:
        notes.append(
            "With a single trial no single question's gap can be significant (the smallest possible p is 0.25), and"
            " neither a split half nor an Error Dispersion Index is defined."
        )
    return TableView(
        caption="Gap of the kept questions, observed and corrected for the selection.",
        columns=("", "kept", "pool", "observed", "estimated", "other half", "false keeps (%)", "missed", "discoveries"),
        rows=tuple(rows),
        notes=tuple(notes),
        empty="No question is complete.",
    )


def uncorrected_domains(data: ReportData, family: str) -> list[str]:
    """Domains with kept questions whose gaps are estimated without a fitted prior, in study order."""
    chosen = data.study.statistics
    rule = GapRule(data.study.question_set.min_gap, data.study.trials, prior=chosen.prior)
    kept = data.table("analysis_question_set", family)
    without = []
    for (domain,), of_domain in data.table("pass_rate_table", family).group_by("domain", maintain_order=True):
        bare = [name for name, prior in priors_of(of_domain, rule).items() if prior == "jeffreys"]
        if kept.filter(pl.col("domain") == domain, pl.col("benchmark").is_in(bare)).height:
            without.append(str(domain))
    return without


def _with_total(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [*frame.filter(pl.col("domain") != "all").to_dicts(), *frame.filter(pl.col("domain") == "all").to_dicts()]


def stability_table(data: ReportData, family: str) -> TableView:
    """Stability of each cluster of the chosen taxonomy when source items are resampled."""
    taxonomy = data.table("final_taxonomy", family)
    keys = ["pca_dim", "n_clusters", "cluster_id"]
    stability = data.table("cluster_stabilities", family)
    joined = taxonomy.select(*keys, "tag").join(stability, on=keys, how="inner", maintain_order="left")
    is_shown = data.is_gap_shown(family)
    rows = tuple(
        Row(
            (
                f"#{row['cluster_id']} {foreign_text(row['tag'], MAX_NAME)}",
                integer(row["n_questions"]),
                percent(row["top_question_share"], 0),
                decimal(row["mean_jaccard"]),
                decimal(row["jaccard_low"]),
                percent(row["recovered_share"], 0),
                (row["verdict"] or "too few questions") if is_shown else "no gap shown",
            )
        )
        for row in joined.iter_rows(named=True)
    )
    return TableView(
        caption="Stability of clusters when questions are resampled and clustered again: mean Jaccard index with the"
        " nearest cluster, its lower bound, share of replicates that recover the cluster (index at least 1/2).",
        columns=("cluster", "questions", "largest (%)", "Jaccard", "low", "recovered (%)", "verdict"),
        rows=rows,
        notes=(
            *_choice_notes(data, family),
            "Largest: share of the cluster's advantages from one question. Verdict: very stable from .85, stable from"
            " .75, pattern from .6 (Hennig 2007); none if one question provides more than half.",
        ),
        empty="There is no taxonomy.",
    )


def _choice_notes(data: ReportData, family: str) -> tuple[str, ...]:
    chosen = data.table("final_taxonomy", family).select("pca_dim", "n_clusters").unique()
    whole = data.table("candidate_stabilities", family).join(chosen, on=["pca_dim", "n_clusters"], how="semi")
    choice = data.table("choice_stabilities", family).join(chosen, on=["pca_dim", "n_clusters"], how="semi")
    notes = []
    for kind, words in (("seed", "with other seeds"), ("bootstrap", "with resampled questions")):
        for row in whole.filter(pl.col("kind") == kind).drop_nulls("ari_mean").iter_rows(named=True):
            ends = interval(row["ari_low"], row["ari_high"])
            notes.append(f"Adjusted Rand index of the taxonomy {words}: {decimal(row['ari_mean'])} {ends}.")
    for row in choice.drop_nulls("retained_share").iter_rows(named=True):
        share = percent(row["retained_share"], 0)
        notes.append(f"Sweeps over resampled questions retain this candidate in {share} % of cases.")
    return tuple(notes)


def shares_table(data: ReportData, family: str) -> TableView:
    """Standardised share of each cluster in each domain, with interval and number of questions."""
    frame = data.table("domain_shares", family)
    domains = frame["domain"].unique(maintain_order=True).to_list()
    tags = dict(data.table("final_taxonomy", family).select("cluster_id", "tag").iter_rows())
    cells = {(row["cluster_id"], row["domain"]): row for row in frame.iter_rows(named=True)}

    def cell(cluster: int, domain: str) -> str:
        row = cells[cluster, domain]
        ends = percent_interval(row["standard_low"], row["standard_high"], 0)
        star = "*" if row["q_value"] is not None and row["q_value"] <= data.study.taxonomy.max_q else ""
        return f"{percent(row['standard_share'], 0)}{star} {ends}, n {integer(row['n_questions'])}"

    rows = [
        Row((f"#{cluster} {foreign_text(tag, MAX_NAME)}", *(cell(cluster, domain) for domain in domains)))
        for cluster, tag in tags.items()
        if (cluster, domains[0] if domains else "") in cells
    ]
    if rows:
        baseline = [cells[next(iter(tags)), domain]["expected_share"] for domain in domains]
        rows.append(Row(("all advantages", *(percent(share, 0) for share in baseline)), "total"))
    return TableView(
        caption="Share (%) of each cluster in each domain with equal domain weights, its interval, and the number of"
        " questions n.",
        columns=("cluster", *domains),
        rows=tuple(rows),
        notes=(
            f"*: above chance when domains are permuted over source items, adjusted for all cells (q at most"
            f" {data.study.taxonomy.max_q:g}). Last row: share of all advantages from the domain, not standardised.",
        ),
        empty="There is no taxonomy.",
    )


def dispersion_table(data: ReportData, family: str) -> TableView:
    """Mean Error Dispersion Index compared with permuted stages."""
    rows = tuple(
        Row(
            (
                "all domains" if row["domain"] == "all" else str(row["domain"]),
                integer(row["n_questions"]),
                decimal(row["mean_edi"], 3),
                interval(row["edi_low"], row["edi_high"]),
                decimal(row["null_mean_edi"], 3),
                p_text(row["p_value"]),
                f"{decimal(row['kappa'])} {interval(row['kappa_low'], row['kappa_high'])}",
            ),
            "total" if row["domain"] == "all" else "plain",
        )
        for row in _with_total(data.table("dispersion_tests", family))
    )
    return TableView(
        caption="Concentration of a question's first errors: mean Error Dispersion Index, its interval, and its mean"
        " when stages are permuted over all first errors of the domain.",
        columns=("", "questions", "mean EDI", "interval", "by chance", "p", "kappa"),
        rows=rows,
        notes=(
            "Low values mean concentration, but few errors per question make any index low: a fair coin between two"
            " stages gives .40 at 8 to 10 errors. Kappa: agreement of two errors of a question beyond that of errors of"
            " different questions.",
        ),
        empty="No question has two first errors.",
    )


def stage_share_table(data: ReportData, family: str) -> TableView:
    """Share of each stage with equal question weights, with intervals."""
    frame, name = data.table("stage_shares", family), data.names(family).the("smaller")
    domains = [d for d in frame["domain"].unique(maintain_order=True).to_list() if d != "all"]
    columns = ["all", *domains] if frame.height else []
    cells = {(row["stage"], row["domain"]): row for row in frame.iter_rows(named=True)}
    labels = {"depth_3_4": "depths 3 and 4", "incomplete": "no answer or truncated"}
    rows = [
        Row(
            (
                labels.get(stage, stage),
                *(
                    f"{percent(row['question_share'], 0)} {percent_interval(row['low'], row['high'], 0)}"
                    if (row := cells.get((stage, domain)))
                    else MISSING
                    for domain in columns
                ),
            ),
            "subtotal" if stage in labels else "plain",
        )
        for stage in ((*STAGE_DEPTHS, *labels) if cells else ())
    ]
    return TableView(
        caption="Stage of the first errors: share (%) with interval, with equal question weights.",
        columns=("stage", *columns),
        rows=tuple(rows),
        notes=(f"No answer or truncated: share of {name}'s wrong trials on kept questions.",),
        empty="No first error was found.",
    )


def robustness_table(data: ReportData, family: str) -> TableView:
    """Whether cluster names can be applied, and whether other settings give the same clusters."""
    rows = [
        Row((f"{row['setting']} {row['value']}", integer(row["n_descriptions"]), decimal(row["ari"])))
        for row in data.table("sensitivities", family).iter_rows(named=True)
    ]
    notes = []
    whole = data.table("name_checks", family).filter(pl.col("cluster_id") < 0).drop_nulls("share")
    for row in whole.filter(pl.col("check") == "assignment").iter_rows(named=True):
        seen = "" if row["is_unseen"] else ", seen by the summariser"
        notes.append(
            f"A judge assigned {percent(row['share'], 0)} % of {counted(row['n_advantages'], 'advantage')}{seen} to"
            f" their own cluster by tag and definition alone (chance {percent(row['chance_share'], 0)} %, kappa"
            f" {decimal(row['kappa'])})."
        )
    for row in whole.filter(pl.col("check") == "intruder").iter_rows(named=True):
        notes.append(
            f"In {counted(row['n_advantages'], 'set')} of five advantages, four of a cluster and an intruder, it"
            f" identified the intruder in {percent(row['share'], 0)} % (chance {percent(row['chance_share'], 0)} %)."
        )
    return TableView(
        caption="Agreement with the chosen clusters when one setting changes: adjusted Rand index on the shared"
        " descriptions.",
        columns=("setting", "descriptions", "adjusted Rand index"),
        rows=tuple(rows),
        notes=tuple(notes),
        empty="There is no taxonomy.",
    )


def evidence_note(data: ReportData, family: str) -> str | None:
    """Sentence on how many quotes occur verbatim in the traces; None without advantages."""
    checked = data.table("evidence_checks", family)
    if checked.is_empty():
        return None
    n_supported = int(checked["is_supported"].sum())
    return (
        f"The passages quoted as evidence occur verbatim in the traces for {integer(n_supported)} of"
        f" {counted(checked.height, 'advantage')} ({percent(n_supported / checked.height, 0)} %)."
    )
