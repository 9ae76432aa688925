"""Notices for results that embedded judges produced from traces that are not simulated."""

from collections.abc import Mapping

import polars as pl

from advcluster_dagster.demo.analyst.findings import NoContrast
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.formatting import counted, integer
from advcluster_dagster.report.stand_ins import STAND_IN_NOTE, is_stand_in

_BARE = [NoContrast.NO_REASONING, NoContrast.RIGHT_WITHOUT_REASONING, NoContrast.WRONG_WITHOUT_REASONING]


def notices(data: ReportData, family: str) -> Mapping[str, str | None]:
    """Notice or None by section: extraction, clustering, taxonomy, errors, ratings."""
    names: dict[str, str | None] = dict.fromkeys(("extraction", "clustering", "taxonomy", "errors", "ratings"))
    if is_stand_in(data.study, family, "rating_judge"):
        names["ratings"] = f"The ratings were {STAND_IN_NOTE}."
    if is_stand_in(data.study, family, "extractor"):
        names["extraction"] = f"The advantages counted here were {STAND_IN_NOTE}."
        names["clustering"] = names["taxonomy"] = (
            f"The advantages and all results derived from them were {STAND_IN_NOTE}."
        )
        names["errors"] = f"The stages of first errors and the Error Dispersion Index were {STAND_IN_NOTE}."
    elif is_stand_in(data.study, family, "summariser"):
        names["taxonomy"] = f"The tags and definitions were {STAND_IN_NOTE}."
    return names


def themes_notice(data: ReportData) -> str | None:
    """Notice above the themes of all families; None if no family's clusters need one."""
    taxonomies = (notices(data, family)["taxonomy"] for family in data.study.families)
    return next((notice for notice in taxonomies if notice), None)


def extraction_sentences(data: ReportData, family: str) -> list[str]:
    """Sentences in place of findings: how many pairs the embedded reader could not tell apart, and why."""
    pairs, failures = data.table("trace_pairs", family).height, data.table("extraction_failures", family)
    if not pairs:
        return []
    silent = failures.filter(pl.col("reason") == "no_contrast")
    bare = silent.filter(pl.col("detail").is_in(_BARE)).height
    without = f", in {integer(bare)} of them because a response has no reasoning" if bare else ""
    return [
        f"{counted(pairs, 'pair')} of traces were compared by the embedded reader, a stand-in without language "
        f"understanding; in {integer(silent.height)} it detects no contrast{without}. Its tags, stages and dispersion "
        "indices are not findings and are hidden behind notices below; findings need a judge model."
    ]
