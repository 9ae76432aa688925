"""The data of a report, and its parts by family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.report.role_names import RoleNames, names_of
from advcluster_dagster.science.question_set.paired_accuracies import is_gap_shown
from advcluster_dagster.study.study import Study

CALL_TOTALS_SCHEMA = pl.Schema(
    {
        "asset": pl.String(),
        "model": pl.String(),
        "n_calls": pl.Int64(),
        "prompt_tokens": pl.Int64(),
        "completion_tokens": pl.Int64(),
    }
)
RECOVERY_SCHEMA = pl.Schema(
    {
        "family": pl.String(),
        "adjusted_rand_index": pl.Float64(),
        "n_advantages": pl.Int64(),
        "stage_accuracy": pl.Float64(),
        "n_pairs": pl.Int64(),
    }
)


@dataclass(frozen=True)
class ReportData:
    """The input of the report.

    Attributes:
        study: the settings.
        tables: contract tables by name over all partitions, with their partition columns; an absent one is empty.
            Traces and embeddings are not read.
        not_run: per family, the domains left out because they have no traces.
        no_taxonomy_reasons: per family without a taxonomy, why.
        prompts: sha256 of each prompt file by its name.
        call_totals: columns of ``CALL_TOTALS_SCHEMA``; token columns may be null.
        recovery: columns of ``RECOVERY_SCHEMA`` for simulated families, else None.
        stand_ins: sentences naming what a stand-in did in place of a model.
        failed_warnings: a line for each check that failed without blocking.
        versions: version by package.
    """

    study: Study
    tables: Mapping[str, pl.DataFrame]
    not_run: Mapping[str, Sequence[str]] = field(default_factory=dict)
    no_taxonomy_reasons: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    call_totals: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CALL_TOTALS_SCHEMA))
    recovery: pl.DataFrame | None = None
    stand_ins: Sequence[str] = ()
    failed_warnings: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def table(self, name: str, family: str) -> pl.DataFrame:
        """The rows of a family, domains in the study's order and other rows in the order of the table's key.

        Raises:
            KeyError: the contracts know no such table.
        """
        contract = TABLES[name]
        frame = self.tables.get(name, contract.empty()).filter(pl.col("family") == family)
        if "domain" not in frame.columns:
            return frame.sort(contract.key)
        place = {domain: i for i, domain in enumerate(self.study.domains)}
        rank = pl.col("domain").replace_strict(place, default=len(place), return_dtype=pl.Int64)
        return frame.sort(rank, "domain", *(key for key in contract.key if key != "domain"))

    def names(self, family: str) -> RoleNames:
        """How the report speaks of the two models of a family."""
        return names_of(self.study.families[family])

    def is_gap_shown(self, family: str) -> bool:
        """Whether the larger model is better beyond chance; without that nothing is claimed of its clusters."""
        return is_gap_shown(self.table("paired_accuracies", family), self.table("gap_tests", family))

    def domains_run(self, family: str) -> tuple[str, ...]:
        """The study's domains without those left out, in the study's order."""
        left_out = self.not_run.get(family, ())
        return tuple(domain for domain in self.study.domains if domain not in left_out)
