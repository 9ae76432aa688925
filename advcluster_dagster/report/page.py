"""Assemble the report as one HTML file without scripts, fonts or requests.

Templates escape all text; a content security policy forbids scripts and requests and allows the one style.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from advcluster_dagster.report.alternatives import alternative_texts, curves_text, gain_text
from advcluster_dagster.report.data import ReportData
from advcluster_dagster.report.figures import MIN_VIOLIN, report_figures
from advcluster_dagster.report.formatting import foreign_text, is_long_worded
from advcluster_dagster.report.html import policy_hash, shipped_text, template_environment
from advcluster_dagster.report.published_results import PublishedFamily, published_families
from advcluster_dagster.report.role_names import RoleNames, names_in
from advcluster_dagster.report.sections import (
    accuracy,
    advantage_extraction,
    certainty,
    compute,
    error_dispersion,
    methods,
    preferences,
    question_set,
    ratings,
    semantic_clustering,
    stand_ins,
    summary,
    taxonomy_coverage,
    themes,
)
from advcluster_dagster.report.style import figure_svg
from advcluster_dagster.report.views import ClusterView, FigureView, TableView
from advcluster_dagster.study.models import Family


class _Numbers:
    """Counter of tables and figures, in page order."""

    def __init__(self) -> None:
        self._last = {"table": 0, "figure": 0}

    def next(self, kind: str) -> int:
        self._last[kind] += 1
        return self._last[kind]


_PACKAGE = "advcluster_dagster.report"


#: Optional sections, in page order, after the fixed ones.
_SECTIONS = {
    "compute": "Accuracy against compute",
    "ratings": "Quality of traces",
    "preferences": "Preference pairs",
}
_N_FIXED_SECTIONS = 6


@dataclass(frozen=True)
class FamilyView:
    """Content of the page for one family."""

    name: str
    roles: RoleNames
    models: Family
    findings: tuple[str, ...]
    left_out: tuple[str, ...]
    has_published: bool
    no_taxonomy_reason: str | None
    tables: Mapping[str, TableView]
    figures: Mapping[str, FigureView]
    clusters: tuple[ClusterView, ...]
    since_frozen: tuple[TableView, ...]
    notices: Mapping[str, str | None]
    evidence: str | None
    added: Mapping[str, Mapping[str, object]]

    def place_of(self, section: str) -> int:
        """Number of an optional section within the family's part."""
        return _N_FIXED_SECTIONS + 1 + list(self.added).index(section)


def render_report(data: ReportData, figures: Mapping[str, Figure] | None = None) -> str:
    """Render the report as HTML; the output is deterministic.

    Args:
        data: The input data.
        figures: The figures of :func:`report_figures`, if already drawn.

    Raises:
        FileNotFoundError: the published results named in the study do not exist.
    """
    drawn = report_figures(data) if figures is None else figures
    published = published_families(data.study)
    stylesheet = shipped_text(_PACKAGE, "report.css")
    return _environment().get_template("page.html.j2").render(
        study=data.study,
        roles=names_in(data.study),
        stylesheet=Markup(stylesheet),
        style_hash=policy_hash(stylesheet),
        families=[_family_view(data, name, drawn, published.get(name)) for name in data.study.families],
        has_published=bool(published),
        section_titles=_SECTIONS,
        stand_ins=data.stand_ins,
        failed_warnings=data.failed_warnings,
        recovery=summary.recovery_table(data),
        themes=themes.theme_tables(data),
        themes_notice=stand_ins.themes_notice(data),
        methods={
            "settings": methods.settings_table(data),
            "models": methods.models_table(data),
            "calls": methods.calls_table(data),
            "prompts": methods.prompts_table(data),
            "versions": methods.versions_table(data),
        },
        numbers=_Numbers(),
    )  # fmt: skip


def _environment() -> Environment:
    environment = template_environment(_PACKAGE)
    environment.filters["foreign"] = foreign_text
    environment.tests["long_worded"] = is_long_worded
    return environment


def _family_view(
    data: ReportData, family: str, drawn: Mapping[str, Figure], published: PublishedFamily | None
) -> FamilyView:
    has_taxonomy = data.table("final_taxonomy", family).height > 0
    alternatives = alternative_texts(data, family)
    return FamilyView(
        name=family,
        roles=data.names(family),
        models=data.study.families[family],
        findings=summary.findings(data, family),
        left_out=tuple(data.not_run.get(family, ())),
        has_published=published is not None,
        no_taxonomy_reason=None if has_taxonomy else summary.no_taxonomy_reason(data, family),
        tables={
            "accuracy": accuracy.accuracy_table(data, family, published),
            "paired": certainty.paired_table(data, family),
            "selection": certainty.selection_table(data, family),
            "stability": certainty.stability_table(data, family),
            "robustness": certainty.robustness_table(data, family),
            "shares": certainty.shares_table(data, family),
            "dispersion": certainty.dispersion_table(data, family),
            "stage_shares": certainty.stage_share_table(data, family),
            "verdicts": accuracy.verdict_table(data, family),
            "panel": accuracy.panel_table(data, family),
            "judges": accuracy.judges_table(data, family),
            "kept": question_set.kept_questions_table(data, family, published),
            "extraction": advantage_extraction.extraction_table(data, family),
            "faults": advantage_extraction.faults_table(data, family),
            "deduplication": semantic_clustering.deduplication_table(data, family, published),
            "candidates": semantic_clustering.candidate_table(data, family, published),
            "taxonomy": semantic_clustering.taxonomy_table(data, family, published),
            "distribution": semantic_clustering.distribution_table(data, family),
            "edi": error_dispersion.edi_table(data, family, published),
            "stages": error_dispersion.stage_table(data, family),
        },
        figures={
            kind: _figure_view(drawn[f"{family}_{kind}"], caption, alternatives[kind])
            for kind, caption in _captions(data, family).items()
        },
        clusters=semantic_clustering.cluster_views(data, family),
        since_frozen=tuple(
            table
            for table in (taxonomy_coverage.coverage_table(data, family), taxonomy_coverage.changes_table(data, family))
            if table is not None
        ),
        notices=stand_ins.notices(data, family),
        evidence=certainty.evidence_note(data, family),
        added={
            section: _ADDED[section](data, family, drawn) for section in _SECTIONS if _is_enabled(data, family, section)
        },
    )


def _is_enabled(data: ReportData, family: str, section: str) -> bool:
    """Whether the study enables an optional section for this family."""
    if section == "ratings":
        return data.study.ratings is not None and data.study.ratings.covers(family)
    return getattr(data.study, section) is not None


def _compute(data: ReportData, family: str, drawn: Mapping[str, Figure]) -> dict[str, object]:
    curves = {domain: figure for domain in data.study.domains if (figure := drawn.get(f"{family}_compute_{domain}"))}
    return {
        "lengths": compute.lengths_table(data, family),
        "matches": compute.matches_table(data, family),
        "gain": _figure_view(
            drawn[f"{family}_gain"],
            f"Accuracy gained by {data.names(family).the('larger')} over its token factor (its tokens relative to the"
            " other model's), one dot per benchmark and task format.",
            gain_text(data, family),
        ),
        "curves": tuple(
            _figure_view(
                figure,
                f"Accuracy against compute in {domain}: one trial, the best or the majority of k, and shorter limits. "
                "The line is the Pareto front of the strategies without a checker.",
                curves_text(data, family, domain),
            )
            for domain, figure in curves.items()
        ),
    }


def _ratings(data: ReportData, family: str, _drawn: Mapping[str, Figure]) -> dict[str, object]:
    return {
        "calibration": ratings.calibration_table(data, family),
        "deltas": ratings.delta_table(data, family),
        "overlaps": ratings.overlap_table(data, family),
    }


def _preferences(data: ReportData, family: str, _drawn: Mapping[str, Figure]) -> dict[str, object]:
    return {"pairs": preferences.preference_table(data, family)}


_ADDED: Mapping[str, Callable[[ReportData, str, Mapping[str, Figure]], dict[str, object]]] = {
    "compute": _compute,
    "ratings": _ratings,
    "preferences": _preferences,
}


def _captions(data: ReportData, family: str) -> dict[str, str]:
    """Captions by kind of figure."""
    gap, edi = data.study.question_set.min_gap, data.study.error_dispersion.max_edi_shown
    return {
        "accuracy": (
            "Accuracy of both models by domain. Whiskers: interval of the mean over source items "
            f"({100 * data.study.statistics.confidence:g} %)."
        ),
        "pass_rates": (
            "Pass rates of both models, one dot per pair of rates; its area is the number of questions. In the "
            f"shaded corner {data.names(family).the('larger')} is ahead by at least {gap:g}."
        ),
        "sweep": (
            "Candidate clusterings. The Davies-Bouldin index falls as d' falls, so it compares values of K within a "
            "line, not between lines; the legend gives the share of variance that each line retains."
        ),
        "heatmap": "Domains of each cluster's advantages. Rows sum to 100 %.",
        "depths": (
            "Mean first-error depth of the questions of each domain, medians marked. Each dot is a question with an "
            f"Error Dispersion Index of at most {edi:g}; domains with fewer than {MIN_VIOLIN} have dots only."
        ),
    }


def _figure_view(figure: Figure, caption: str, alternative: str) -> FigureView:
    encoded = base64.b64encode(figure_svg(figure)).decode()
    return FigureView(caption, alternative, f"data:image/svg+xml;base64,{encoded}")
