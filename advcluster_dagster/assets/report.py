"""The step that writes the report."""

import hashlib
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.demo.simulation.recovery import measure_recovery
from advcluster_dagster.pipeline.declare import page_step
from advcluster_dagster.pipeline.recipe import is_table_on
from advcluster_dagster.pipeline.stamps import expected_stamp
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.report.data import CALL_TOTALS_SCHEMA, RECOVERY_SCHEMA, ReportData
from advcluster_dagster.storage.pages import PageFiles
from advcluster_dagster.storage.table_files import read_stamp, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_NOT_SHOWN = (
    "larger_traces",
    "smaller_traces",
    "advantage_embeddings",
    "trace_costs",
    "trace_ratings",
    "trace_qualities",
)
_PROMPTS = ("extraction", "naming", "review", "themes", "theme_vote", "name_check", "intruder", "equivalence", "rating")
_PACKAGES = ("advcluster-dagster", "dagster", "duckdb", "polars", "scikit-learn", "numpy")


def _settings(study: Study, _partition: Partition) -> Any:
    """Return the study without the sections that no page shows; the bounds of checks decide which warnings appear."""
    return study.model_dump(mode="json", exclude={"providers", "spending"})


@page_step(
    "report",
    kinds=("html", "matplotlib"),
    reads=tuple(name for name in TABLES if name not in _NOT_SHOWN),
    prompts=_PROMPTS,
    settings=_settings,
)
def study_report(step: Step) -> PageFiles:
    """Self-contained HTML report of a study, with its figures also as PNG files."""
    data = report_data(step)
    # Imported late: otherwise every process would wait for the plotting library when it starts.
    from advcluster_dagster.report.figures import report_figures
    from advcluster_dagster.report.page import render_report
    from advcluster_dagster.report.style import figure_png

    plots = report_figures(data)
    figures = {f"{name}.png": figure_png(figure) for name, figure in plots.items()}
    page = render_report(data, plots)
    content_hash = hashlib.sha256(page.encode()).hexdigest()
    step.facts["n_figures"] = len(figures)
    stamp = expected_stamp(step.recipe, step.home, step.study, step.partition)
    return PageFiles(page, figures.items(), replace(stamp, content_hash=content_hash))


def report_data(step: Step) -> ReportData:
    """Collect everything that the report of a study shows from its tables and the ledger."""
    study = step.study
    tables = {name: step.read(name) for name in TABLES if name not in _NOT_SHOWN and is_table_on(name, study)}
    reasons = {family: _note(step, "final_taxonomy", family, "reason") for family in study.families}
    return ReportData(
        study=study,
        tables=tables,
        not_run={family: _not_run(step, family) for family in study.families},
        no_taxonomy_reasons={family: str(reason) for family, reason in reasons.items() if reason},
        prompts={name: load_prompt(name).sha256 for name in _PROMPTS if name != "rating" or study.ratings is not None},
        call_totals=_call_totals(step),
        recovery=_recovery(study, tables),
        stand_ins=_stand_ins(study, tables),
        failed_warnings=step.failed_warnings,
        versions={name: version(name) for name in _PACKAGES},
    )


def _not_run(step: Step, family: str) -> list[str]:
    path = {
        d: table_path(step.home.lake, step.study.study, "graded_trials", Partition(family, d))
        for d in step.study.domains
    }
    return [domain for domain in step.study.domains if not path[domain].exists()]


def _note(step: Step, table: str, family: str, name: str) -> Any:
    stamp = read_stamp(table_path(step.home.lake, step.study.study, table, Partition(family=family)))
    return stamp.notes.get(name) if stamp else None


def _call_totals(step: Step) -> pl.DataFrame:
    totals = step.ledger.totals_by_asset_and_model(step.study.study)
    rows = [(*key, usage.n_calls, usage.prompt_tokens, usage.completion_tokens) for key, usage in totals.items()]
    return pl.DataFrame(rows, schema=CALL_TOTALS_SCHEMA, orient="row")


def _recovery(study: Study, tables: dict[str, pl.DataFrame]) -> pl.DataFrame | None:
    """Measure how well the analysis recovers the planted slips, for families whose smaller model is simulated."""
    simulated = [name for name, family in study.families.items() if family.smaller.provider == "simulated"]
    rows = [measure_recovery(study, family, tables) for family in simulated]
    return pl.DataFrame(rows, schema=RECOVERY_SCHEMA, orient="row") if rows else None


def _stand_ins(study: Study, tables: dict[str, pl.DataFrame]) -> list[str]:
    """Return one line per part of the finished steps that a stand-in did."""
    judges = study.judges
    lines = [
        f"{work} by the embedded analyst, a deterministic stand-in for a judge model."
        for judge, outputs, work in (
            (judges.extractor, ("advantage_corpus", "extraction_failures"), "Traces were compared"),
            (judges.summariser, ("cluster_summaries",), "Clusters were named"),
            (judges.reviewer, ("candidate_reviews",), "Candidates were scored"),
            (judges.rating_judge, ("delta_summaries",), "Traces were rated"),
        )
        if judge.provider == "embedded" and any(name in tables and tables[name].height for name in outputs)
    ]
    if judges.embedder.provider == "embedded" and tables["deduplicated_advantages"].height:
        lines.append("Descriptions were embedded with static word vectors, not with a large embedding model.")
    if any(family.larger.provider == "simulated" for family in study.families.values()):
        lines.append(
            "Both model families are simulated: their traces come from a generator that plants slips on purpose."
        )
    return lines


STEPS = (study_report,)
