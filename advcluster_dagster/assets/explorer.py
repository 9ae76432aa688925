"""The step that writes the explorer page."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.pipeline.declare import page_step
from advcluster_dagster.pipeline.recipe import fingerprint
from advcluster_dagster.pipeline.stamps import expected_stamp
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.report.explorer.data import TABLES_READ, DomainEvidence, FamilyEvidence, join_evidence
from advcluster_dagster.report.explorer.page import render_explorer
from advcluster_dagster.report.explorer.scripts import script_files
from advcluster_dagster.storage.pages import PageFiles
from advcluster_dagster.study.partition import Partition


@page_step(
    "report",
    kinds=("html",),
    reads=tuple(name for name in TABLES if name in (*TABLES_READ, "final_taxonomy")),
    settings=lambda study, _: {
        "study": study.study,
        "families": [(name, family.model_dump(mode="json")) for name, family in study.families.items()],
        "domains": list(study.domains),
    },
)
def evidence_explorer(step: Step) -> PageFiles:
    """Page to explore each cluster's advantages and the traces behind them; it opens from disk.

    Its files are in a folder named after a hash of its inputs, so that an old page never loads new data.
    """
    stamp = expected_stamp(step.recipe, step.home, step.study, step.partition)
    folder = f"explorer/{fingerprint([stamp.code, stamp.settings, stamp.upstream])}"
    page = render_explorer(step.study, folder)
    step.facts["n_advantages"] = step.read("advantage_corpus").height
    files = ((f"{folder}/{name}", content) for name, content in script_files(_families(step)))
    return PageFiles(page, files, replace(stamp, content_hash=hashlib.sha256(page.encode()).hexdigest()))


def _families(step: Step) -> Iterator[FamilyEvidence]:
    for name, models in step.study.families.items():
        of_family = replace(step, partition=Partition(family=name))
        clusters = of_family.scan_partition("final_taxonomy").collect()
        reason = of_family.note_of("final_taxonomy", "reason")
        yield FamilyEvidence(name, models, clusters, reason, _domains(step, name))


def _domains(step: Step, family: str) -> Iterator[DomainEvidence]:
    for domain in step.study.domains:
        of_domain = replace(step, partition=Partition(family, domain))
        yield join_evidence(domain, {table: of_domain.scan_partition(table) for table in TABLES_READ})


STEPS = (evidence_explorer,)
