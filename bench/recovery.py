"""Recovery of planted skills and stages as a function of questions, trials, slip rates and judge noise.

Run it as `python bench/recovery.py [--seeds 10] [--quick] [--embedder FOLDER]`.
For each setting and seed a simulated family is analysed
from traces to taxonomy and first errors. Printed are median and range over the seeds of the adjusted Rand index between
cluster and planted skill, of the share of first errors at the planted stage and, as a null, of the index between
cluster and domain. Each line changes one setting of the first line. `--quick` runs three seeds.

Judge noise: in this share of pairs the first error gets another stage at random, and the advantages are taken from
another pair.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sklearn.metrics import adjusted_rand_score  # noqa: E402

from advcluster_dagster.assets.registry import tables_behind  # noqa: E402
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS  # noqa: E402
from advcluster_dagster.demo import embedded_judges  # noqa: E402
from advcluster_dagster.demo.simulation import profiles  # noqa: E402
from advcluster_dagster.demo.simulation.recovery import measure_recovery  # noqa: E402
from tests.studies import SIMULATED, SmallHome, write_study  # noqa: E402

DOMAINS = ("math", "physics", "chemistry", "programming")
#: Tables from which recovery is measured; other steps are not run.
TABLES = ("taxonomy_assignments", "advantage_corpus", "trace_pairs", "first_errors")


@dataclass(frozen=True)
class Setting:
    """Benchmarks of 24 questions per domain, T, factor on all slip rates, share of pairs with noise."""

    n_benchmarks: int = 1
    trials: int = 10
    slips: float = 1.0
    noise: float = 0.0

    def __str__(self) -> str:
        return f"{24 * self.n_benchmarks:>9}{self.trials:>4}{self.slips:>7.1f}{self.noise:>7.2f}"


BASE = Setting()
SETTINGS = (
    BASE,
    *(replace(BASE, n_benchmarks=n) for n in (2, 4)),
    *(replace(BASE, trials=trials) for trials in (3, 5)),
    *(replace(BASE, slips=slips) for slips in (0.6, 0.8)),
    *(replace(BASE, noise=noise) for noise in (0.1, 0.2, 0.3)),
)


@contextmanager
def simulated(setting: Setting, seed: int) -> Iterator[None]:
    """Apply the slip rates and the judge noise of a setting."""
    rates = {kind: rate * setting.slips for kind, rate in profiles._SLIP_RATES.items()}
    extract, rng = embedded_judges._extract, random.Random(seed)
    before: list[dict[str, Any]] = []

    def noisy(problem: str, first: str, second: str) -> Any:
        content = extract(problem, first, second)
        if not isinstance(content, dict):
            return content
        before.append(dict(content))
        if rng.random() < setting.noise:
            content |= {"advantages": rng.choice(before)["advantages"]}
            stages = [stage for stage in STAGE_DEPTHS if stage != content["failure_stage"]]
            content |= {"failure_stage": rng.choice(stages)}
        return content

    with patch.object(profiles, "_SLIP_RATES", rates), patch.object(embedded_judges, "_extract", noisy):
        yield


def recover(
    setting: Setting, seed: int, embedder: str | None = None
) -> tuple[float | None, float | None, float | None]:
    """Index with skills, share of correct stages, index with domains; None without a taxonomy or pairs."""
    domains = {domain: [f"{domain}-{n}" for n in range(setting.n_benchmarks)] for domain in DOMAINS}
    study = SIMULATED | {
        "seed": seed,
        "trials": setting.trials,
        "domains": domains,
        "benchmarks": {name: {"source": "simulated"} for names in domains.values() for name in names},
        "clustering": {"n_bootstrap": 0, "n_choices": 0, "n_reviews": 1},
        "statistics": {"n_bootstrap": 100, "n_permutations": 100},
        "checks": {"max_dispersion_p": 1.0, "max_unsupported_share": 1.0},
    }
    if embedder is not None:
        study["judges"] = {"embedder": {"model": embedder, "provider": "onnx"}}
    with tempfile.TemporaryDirectory() as folder, simulated(setting, seed):
        small: SmallHome = write_study(Path(folder) / "home", study)
        failures = small.run(tables_behind("taxonomy_assignments", "first_errors")).failures
        if failures:
            raise SystemExit(f"{setting}, seed {seed}: {failures}")
        tables = {name: small.table(name) for name in TABLES}
        _, index, _, accuracy, _ = measure_recovery(small.study, "orion", tables)
    placed = tables["taxonomy_assignments"].join(tables["advantage_corpus"], on="advantage_id")
    null = float(adjusted_rand_score(placed["domain"], placed["cluster_id"])) if placed.height else None
    return index, accuracy, null


def _line(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return f"{'undefined':>20}"
    return f"{statistics.median(known):>8.2f} [{min(known):.2f}, {max(known):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="three seeds")
    parser.add_argument("--embedder", help="folder of an ONNX model, in place of the embedded embedder")
    parser.add_argument("--settings", type=int, default=len(SETTINGS), help="only the first settings")
    chosen = parser.parse_args()
    n_seeds = 3 if chosen.quick else chosen.seeds
    print(f"median and range over {n_seeds} seeds")
    heads = "".join(f"{head:>22}" for head in ("ARI with skills", "right stages", "ARI with domains"))
    print(f"{'questions':>9}{'T':>4}{'slips':>7}{'noise':>7}{heads}")
    for setting in SETTINGS[: chosen.settings]:
        began = time.perf_counter()
        results = [recover(setting, seed, chosen.embedder) for seed in range(n_seeds)]
        columns = "".join(f"{_line(list(values)):>22}" for values in zip(*results, strict=True))
        print(f"{setting}{columns}   {(time.perf_counter() - began) / n_seeds:.0f} s each", flush=True)


if __name__ == "__main__":
    main()
