"""Input data of the report."""

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
    """Input data of the report.

    Attributes:
        study: The settings.
        tables: Contract tables by name over all partitions, with their partition columns; missing ones are empty.
            Traces and embeddings are not included.
        not_run: By family, the domains excluded because they have no traces.
        no_taxonomy_reasons: By family without a taxonomy, the reason.
        prompts: sha256 of each prompt file by name.
        call_totals: Columns of ``CALL_TOTALS_SCHEMA``; token columns may be null.
        recovery: Columns of ``RECOVERY_SCHEMA`` for simulated families, else None.
        stand_ins: Sentences on the results that a stand-in produced instead of a model.
        failed_warnings: A line for each check that failed without blocking.
        versions: Version by package.
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
        """Rows of a family, sorted by domain in study order, then by the table's key.

        Raises:
            KeyError: the table is not in the contracts.
        """
        contract = TABLES[name]
        frame = self.tables.get(name, contract.empty()).filter(pl.col("family") == family)
        if "domain" not in frame.columns:
            return frame.sort(contract.key)
        place = {domain: i for i, domain in enumerate(self.study.domains)}
        rank = pl.col("domain").replace_strict(place, default=len(place), return_dtype=pl.Int64)
        return frame.sort(rank, "domain", *(key for key in contract.key if key != "domain"))

    def names(self, family: str) -> RoleNames:
        """Names of a family's two models in the report."""
        return names_of(self.study.families[family])

    def is_gap_shown(self, family: str) -> bool:
        """Whether the larger model is better beyond chance; otherwise no claims are made about its clusters."""
        return is_gap_shown(self.table("paired_accuracies", family), self.table("gap_tests", family))

    def domains_run(self, family: str) -> tuple[str, ...]:
        """Domains of the study, in study order, without those not run."""
        left_out = self.not_run.get(family, ())
        return tuple(domain for domain in self.study.domains if domain not in left_out)
