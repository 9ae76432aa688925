"""Generated study whose tables conform to the contracts, as test input of the report."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS, VERDICTS
from advcluster_dagster.report.data import CALL_TOTALS_SCHEMA, RECOVERY_SCHEMA, ReportData
from advcluster_dagster.science.error_dispersion.dispersion_tests import (
    ResamplingSettings,
    dispersion_tests,
    stage_shares,
)
from advcluster_dagster.science.question_set.paired_accuracies import paired_accuracies
from advcluster_dagster.science.question_set.question_statistics import (
    GapRule,
    gap_tests,
    question_statistics,
    selection_reliabilities,
)
from advcluster_dagster.science.question_set.selection import is_complete
from advcluster_dagster.science.semantic_clustering.domain_shares import ShareSettings, domain_shares
from advcluster_dagster.study.study import Study

DOMAINS = ("math", "physics", "chemistry", "programming")
CLUSTERS = (
    (
        "Tracking Changing State",
        "Keeps an explicit record of every value that changes and updates it after each step. Later steps read the "
        "record and never the starting values, so that references stay valid while the content moves.",
    ),
    (
        "Pruning Impossible Branches",
        "Turns stated and unstated requirements into conditions that can be tested at once. Branches that "
        "break a condition are closed before effort is spent on them, and the reason is kept for later.",
    ),
    (
        "Restating Before Solving",
        "Writes the task in an equivalent form in which the requirements are simpler to use. Factors and offsets "
        "that the change of form brings in are carried along to the end.",
    ),
    (
        "Checking Against Limits",
        "Holds intermediate results against bounds, signs and simple special cases. A result outside its bounds sends "
        "the work back to the step that produced it.",
    ),
    (
        "Counting Without Gaps",
        "Splits the whole into parts that neither overlap nor leave anything out and accounts for each of them. The "
        "total is compared with an independent count.",
    ),
    (
        "Matching the Asked Form",
        "Reads off the form in which the answer is wanted and converts the result to it as the last step.",
    ),
    (
        "Separating Similar Quantities",
        "Gives each of several easily confused quantities a name of its own and states which one each rule is "
        "about. Substitutions are made by name and not by position.",
    ),
)
PHRASES = (
    (
        "Tracks intermediate values through every update",
        "Writes the counter out after each pass; the other solution reads its first value.",
    ),
    (
        "Verifies the result against a limiting case",
        "Sets the angle to zero to test the formula; the other solution never tests it.",
    ),
    (
        "Rejects candidates that break a stated condition",
        "Drops the negative root at once; the other solution carries both to the end.",
    ),
    (
        "Converts units before combining quantities",
        "Turns grams into moles first; the other solution adds grams to moles.",
    ),
    (
        "Identifies the quantity that is asked for",
        "Answers with the remainder as asked; the other solution stops at the quotient.",
    ),
)


def sample_study(families: Sequence[str], domains: Sequence[str] = DOMAINS, **settings: object) -> Study:
    """A study of imported families with two benchmarks per domain, judged by a vendor's models."""
    pair = {
        name: {
            role: {"model": f"{name}-{size}", "provider": "imported"}
            for role, size in (("larger", "32b"), ("smaller", "8b"))
        }
        for name in families
    }
    benchmarks = {domain: (f"{domain}-basic", f"{domain}-olympiad") for domain in domains}
    judge = {"model": "judge", "provider": "openai"}
    judges = {"extractor": judge, "summariser": judge, "reviewer": judge}
    defaults = {"study": "sample", "families": pair, "domains": benchmarks, "judges": judges}
    return Study.model_validate({**defaults, **settings})


def _spread(rng: np.random.Generator, n: int) -> list[int]:
    weights = np.array([1, 2, 9, 10, 1]) ** rng.uniform(0.6, 9)
    rng.shuffle(weights[2:4])
    return [int(count) for count in rng.multinomial(n, weights / weights.sum())]


def _edi(counts: list[int]) -> tuple[float | None, float | None, float | None, float | None]:
    """Entropy, largest entropy, index and mean depth, by the definition."""
    n = sum(counts)
    if n == 0:
        return None, None, None, None

    def entropy(parts: list[int]) -> float:
        return abs(-sum(c / n * float(np.log2(c / n)) for c in parts if c))

    h, most = entropy(counts), entropy([n // 5 + (i < n % 5) for i in range(5)])
    return h, most, h / most if n > 1 else None, sum((i + 1) * c for i, c in enumerate(counts)) / n


class FamilyRows:
    """Rows of every table of one family, filled domain by domain."""

    def __init__(self, study: Study, family: str, seed: int) -> None:
        self.study, self.family = study, family
        self.rng = np.random.default_rng(seed)
        self.rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
        self.kept_advantages: list[tuple[str, str, int]] = []
        self.n_clusters = len(CLUSTERS)

    def add(self, table: str, **row: object) -> None:
        self.rows[table].append({"family": self.family, **row})

    def add_domain(self, place: int, domain: str, n_questions: int) -> None:
        n_kept = 0
        for benchmark in self.study.domains[domain]:
            self._accuracies(domain, benchmark, n_questions)
            for i in range(n_questions):
                n_kept += self._question(place, domain, benchmark, f"{benchmark}-{i:03d}")
        self._edi_summary(domain, n_kept)

    def _accuracies(self, domain: str, benchmark: str, n_questions: int) -> None:
        base = self.rng.uniform(30, 80)
        for role, gain in (("smaller", 0.0), ("larger", self.rng.uniform(2, 15))):
            model = self.study.families[self.family].model_of(role).model  # type: ignore[arg-type]
            self.add(
                "benchmark_accuracy",
                domain=domain,
                benchmark=benchmark,
                role=role,
                model=model,
                n_questions=n_questions,
                n_trials=10,
                mean_accuracy=base + gain,
                std_accuracy=self.rng.uniform(0.5, 4),
            )

    def _question(self, place: int, domain: str, benchmark: str, question: str) -> bool:
        skill = self.rng.beta(0.9, 0.7)
        right = {
            "smaller": int(self.rng.binomial(10, skill * self.rng.choice([0.05, 0.9]))),
            "larger": int(self.rng.binomial(10, skill)),
        }
        scored = 9 if self.rng.random() < 0.02 else 10
        right = {role: min(n, scored) for role, n in right.items()}
        for role, n in right.items():
            model = self.study.families[self.family].model_of(role).model  # type: ignore[arg-type]
            for trial in range(10):
                verdict = (
                    "correct"
                    if trial < n
                    else "grader_timeout"
                    if trial >= scored
                    else str(self.rng.choice(VERDICTS[1:4], p=[0.9, 0.06, 0.04]))
                )
                self.add(
                    "graded_trials",
                    domain=domain,
                    question_id=question,
                    benchmark=benchmark,
                    role=role,
                    trial=trial,
                    model=model,
                    prediction="7",
                    verdict=verdict,
                    is_correct=None if verdict == "grader_timeout" else verdict == "correct",
                    grader="numeric",
                    grader_version="1",
                )
        rates = {role: n / scored for role, n in right.items()}
        gap = (right["larger"] - right["smaller"]) / scored
        self.add(
            "pass_rate_table",
            domain=domain,
            question_id=question,
            benchmark=benchmark,
            pass_rate_gap=gap,
            **{
                f"{role}_{key}": value
                for role in rates
                for key, value in (
                    ("n_trials", 10),
                    ("n_scored", scored),
                    ("n_correct", right[role]),
                    ("pass_rate", rates[role]),
                )
            },
        )
        if gap < 0.6 or scored < 10:
            return False
        self.add(
            "analysis_question_set",
            domain=domain,
            question_id=question,
            benchmark=benchmark,
            larger_pass_rate=rates["larger"],
            smaller_pass_rate=rates["smaller"],
            pass_rate_gap=gap,
            n_more_correct=right["larger"] - right["smaller"],
        )
        self._pairs(place, domain, question, round(gap * 10))
        return True

    def _pairs(self, place: int, domain: str, question: str, n_pairs: int) -> None:
        n_errors = n_pairs
        for pair in range(n_pairs):
            pair_id = f"{question}:{pair}"
            self.add(
                "trace_pairs",
                domain=domain,
                pair_id=pair_id,
                question_id=question,
                pair_index=pair,
                larger_trial=pair,
                smaller_trial=pair,
                smaller_verdict="wrong",
            )
            if self.rng.random() < 0.02:
                failed = {"reason": "not_json", "detail": "no list in it", "raw_reply": "no"}
                self.add("extraction_failures", domain=domain, pair_id=pair_id, **failed)
                n_errors -= 1
                continue
            for position in range(int(self.rng.integers(2, 5))):
                self._advantage(place, domain, question, pair_id, position)
        counts = _spread(self.rng, n_errors)
        h, most, edi, mean = _edi(counts)
        self.add(
            "error_dispersion",
            domain=domain,
            question_id=question,
            n_errors=n_errors,
            entropy=h,
            max_entropy=most,
            edi=edi,
            mean_depth=mean,
            n_pairs_same=sum(c * (c - 1) for c in counts),
            concentration=sum(c * (c - 1) for c in counts) / (n_errors * (n_errors - 1)) if n_errors > 1 else None,
            **{f"n_depth_{i + 1}": c for i, c in enumerate(counts)},
        )
        stages = [stage for (stage, _), c in zip(STAGE_DEPTHS.items(), counts, strict=True) for _ in range(c)]
        for pair, stage in enumerate(stages):
            self.add(
                "first_errors",
                domain=domain,
                pair_id=f"{question}:{pair}",
                question_id=question,
                stage=stage,
                depth=STAGE_DEPTHS[stage],
                description="Takes the wrong relation.",
                quote="F = m / a",
            )

    def _advantage(self, place: int, domain: str, question: str, pair_id: str, position: int) -> None:
        text, evidence = PHRASES[int(self.rng.integers(len(PHRASES)))]
        advantage_id = f"{pair_id}:{position}"
        violations = ["too_many_words"] if self.rng.random() < 0.04 else []
        self.add(
            "advantage_corpus",
            domain=domain,
            advantage_id=advantage_id,
            pair_id=pair_id,
            question_id=question,
            position=position,
            advantage=text,
            evidence=evidence,
            larger_quote="F = m * a",
            smaller_quote="",
            rule_violations=violations,
            extractor="gemini-3-pro",
            prompt_hash="a" * 64,
        )
        checked = {"n_quotes": 1, "is_in_larger": True, "is_in_smaller": None, "is_supported": True}
        self.add("evidence_checks", domain=domain, advantage_id=advantage_id, failure_position=0.5, **checked)
        is_kept = bool(self.rng.random() > 0.05 or position == 0)
        self.add(
            "deduplicated_advantages",
            domain=domain,
            advantage_id=advantage_id,
            is_kept=is_kept,
            duplicate_of=None if is_kept else f"{pair_id}:0",
            similarity=None if is_kept else 0.97,
        )
        if is_kept:
            weights = np.ones(self.n_clusters)
            weights[place % self.n_clusters] = 9
            self.kept_advantages.append(
                (advantage_id, domain, int(self.rng.choice(self.n_clusters, p=weights / weights.sum())))
            )

    def _edi_summary(self, domain: str, n_kept: int) -> None:
        values = [
            row["edi"] for row in self.rows["error_dispersion"] if row["domain"] == domain and row["edi"] is not None
        ]
        self.add(
            "edi_summary",
            domain=domain,
            model=self.study.families[self.family].smaller.model,
            n_questions=n_kept,
            n_undefined=n_kept - len(values),
            mean_edi=float(np.mean(values)) if values else None,  # type: ignore[arg-type]
            std_edi=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        )  # type: ignore[arg-type]

    def add_family_tables(self) -> None:
        self._accuracy_summary()
        if len({cluster for _, _, cluster in self.kept_advantages}) < self.n_clusters:
            return
        self._candidates()
        domains = list(dict.fromkeys(domain for _, domain, _ in self.kept_advantages))
        for advantage_id, domain, cluster in self.kept_advantages:
            self.add("taxonomy_assignments", advantage_id=advantage_id, domain=domain, cluster_id=cluster)
        counts = np.zeros((self.n_clusters, len(domains)))
        for _, domain, cluster in self.kept_advantages:
            counts[cluster, domains.index(domain)] += 1
        for cluster, (tag, definition) in enumerate(CLUSTERS):
            row = counts[cluster]
            p = row[row > 0] / row.sum()
            entropy = float(-(p * np.log(p)).sum() / np.log(len(domains))) if len(domains) > 1 else None
            self.add(
                "final_taxonomy",
                cluster_id=cluster,
                tag=tag,
                definition=definition,
                size=int(row.sum()),
                pca_dim=8,
                n_clusters=self.n_clusters,
                kind="specialised" if row.max() / row.sum() >= 0.6 else "common",
                main_domain=domains[int(row.argmax())],
                domain_entropy=entropy,
            )
            for j, domain in enumerate(domains):
                self.add(
                    "domain_distribution",
                    cluster_id=cluster,
                    domain=domain,
                    n_advantages=int(row[j]),
                    row_share=float(row[j] / row.sum()),
                    column_share=float(row[j] / counts[:, j].sum()),
                )

    def _accuracy_summary(self) -> None:
        benchmarks = pl.DataFrame(self.rows["benchmark_accuracy"])
        mean, std = pl.col("mean_accuracy").mean(), pl.col("std_accuracy").mean()
        by_domain = benchmarks.group_by("domain", "role", maintain_order=True).agg(mean, std)
        family = by_domain.group_by("role", maintain_order=True).agg(mean, std)
        for row in by_domain.iter_rows(named=True):
            self.add("accuracy_summary", level="domain", **row)
        for row in family.iter_rows(named=True):
            self.add("accuracy_summary", level="family", domain="all", **row)

    def _candidates(self) -> None:
        for place, dim in enumerate((256, 128, 64, 16, 8, 4)):
            for k in range(2, 16):
                kept = dim in (8, 4) and k in (5, 6, 7, 9)
                self.add(
                    "candidate_clusterings",
                    pca_dim=dim,
                    n_clusters=k,
                    explained_variance=0.95 - 0.15 * place,
                    is_retained=kept,
                    davies_bouldin=4 - 0.5 * place + 2 / k + self.rng.normal(0, 0.05),
                    silhouette=0.05 + 0.05 * place + 0.1 / k,
                )
                for review in range(3 if kept else 0):
                    scores = {
                        name: int(self.rng.integers(5, 9))
                        for name in ("distinctness", "granularity", "interpretability", "balance", "resolution")
                    }
                    self.add(
                        "candidate_reviews",
                        pca_dim=dim,
                        n_clusters=k,
                        review=review,
                        total=sum(scores.values()),
                        **scores,
                    )


def make_report_data(
    families: Sequence[str] = ("qwen3", "orion"),
    domains: Sequence[str] = DOMAINS,
    n_questions: int = 40,
    **settings: object,
) -> ReportData:
    """Report data of generated families; tables conform to their contracts."""
    study = sample_study(families, domains, **settings)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    for i, family in enumerate(families):
        family_rows = FamilyRows(study, family, seed=i + 1)
        for place, domain in enumerate(domains):
            family_rows.add_domain(place, domain, n_questions)
        family_rows.add_family_tables()
        for name, table_rows in family_rows.rows.items():
            rows[name].extend(table_rows)
    tables = {name: pl.DataFrame(rows[name], schema=contract.schema) for name, contract in TABLES.items()}
    for name, frames in _measured(study, tables).items():
        tables[name] = pl.concat([tables[name], *(TABLES[name].conform(f.lazy(), k).collect() for k, f in frames)])
    for name, contract in TABLES.items():
        contract.check(tables[name].lazy())
    totals = [
        ("advantage_corpus", "analyst", 812, 1_204_331, 98_221),
        ("cluster_summaries", "analyst", 48, 20_100, 4_102),
    ]
    recovery = [(family, 0.4312, 700, 0.8123, 281) for family in families]
    return ReportData(
        study,
        tables,
        prompts={"extraction": "ab" * 32, "naming": "cd" * 32},
        call_totals=pl.DataFrame(totals, schema=CALL_TOTALS_SCHEMA, orient="row"),
        recovery=pl.DataFrame(recovery, schema=RECOVERY_SCHEMA, orient="row"),
        stand_ins=("Advantages were extracted by the embedded analyst, a deterministic stand-in for a judge model.",),
        versions={"advcluster-dagster": "0.1.0", "scikit-learn": "1.9.1"},
    )


def _measured(study: Study, tables: dict[str, pl.DataFrame]) -> dict[str, list[tuple[dict[str, str], pl.DataFrame]]]:
    """Tables of intervals and tests, computed from the generated counts by the science modules."""
    rule, few = (
        GapRule(study.question_set.min_gap, study.trials),
        ResamplingSettings(n_bootstrap=100, n_permutations=99),
    )
    frames_by_table: dict[str, list[tuple[dict[str, str], pl.DataFrame]]] = {}
    for family in study.families:
        of = {name: frame.filter(pl.col("family") == family) for name, frame in tables.items() if frame.height}
        if "pass_rate_table" not in of:
            continue
        rates, rng, key = of["pass_rate_table"], np.random.default_rng(0), {"family": family}
        keys = rates.select("domain", "question_id", source_key="question_id")
        statistics = pl.concat(
            [
                question_statistics(part, keys.select("question_id", "source_key"), rule).with_columns(
                    domain=pl.lit(str(domain))
                )
                for (domain,), part in rates.group_by("domain", maintain_order=True)
            ]
        )
        complete = rates.filter(is_complete(study.trials)).select("domain", "question_id")
        tests = gap_tests(statistics, complete, 0.05)
        keyed = rates.with_columns(source_key=pl.col("question_id"), task_format=pl.lit("open_ended"))
        dispersion = of.get("error_dispersion", tables["error_dispersion"].clear())
        pairs = dispersion.select("domain", "question_id", n_pairs="n_errors", n_incomplete=pl.lit(0, pl.Int64))
        by_name = {
            "selection_reliabilities": selection_reliabilities(statistics, rates, tests, study.trials),
            "paired_accuracies": paired_accuracies(keyed, 0.95, 99, rng),
            "dispersion_tests": dispersion_tests(dispersion, keys, few, rng),
            "stage_shares": stage_shares(dispersion, pairs, keys, few, rng),
        }
        if "taxonomy_assignments" in of:
            placed = of["taxonomy_assignments"].join(
                of["advantage_corpus"].select("advantage_id", "question_id"), on="advantage_id"
            )
            shares = ShareSettings(n_bootstrap=100, n_permutations=99)
            by_name["domain_shares"] = domain_shares(
                placed.with_columns(source_key=pl.col("question_id")), list(study.domains), len(CLUSTERS), shares, rng
            )
            by_name["cluster_stabilities"] = of["final_taxonomy"].select(
                "pca_dim", "n_clusters", "cluster_id", mean_jaccard=pl.lit(0.8), jaccard_low=pl.lit(0.6),
                recovered_share=pl.lit(0.9), n_questions=pl.lit(9, pl.Int64), n_keys=pl.lit(9, pl.Int64),
                top_question_share=pl.lit(0.2), verdict=pl.lit("stable"),
            )  # fmt: skip
        for name, frame in by_name.items():
            frames_by_table.setdefault(name, []).append((key, frame))
    return frames_by_table


@pytest.fixture(scope="session")
def make_data() -> Callable[..., ReportData]:
    """Factory of generated report data."""
    return make_report_data


@pytest.fixture(scope="session")
def data() -> ReportData:
    """Two families, four domains, seven clusters; one family has published results."""
    return make_report_data(
        published_results="paper",
        clustering={"pins": {"orion": {"pca_dim": 8, "n_clusters": 7, "reason": "as agreed"}}},
    )
