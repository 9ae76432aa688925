"""Benchmark of the candidate sweep: from a Parquet file of embeddings to the table of scores.

Run it as `python bench/candidate_sweep.py [--rows 2251] [--dims 3072] [--plain sample|full|none]` on Linux.
It writes synthetic embeddings, runs the sweep in a fresh process and measures that process's wall time and peak
memory. Then it does the same with plain scikit-learn, a PCA per d' and one call after another, on a sample of
settings (times extrapolated) or on all, and compares the scores. Times are printed with their targets and never
fail the benchmark; scores that differ by more than 1e-6 do.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALL_DIMS, ALL_COUNTS = (256, 128, 64, 16, 8, 4), tuple(range(2, 16))
SAMPLED_DIMS, SAMPLED_COUNTS = (256, 64, 8), (2, 8, 15)
TOLERANCE = 1e-6
TARGET_SECONDS, TARGET_GB = {2251: 6.0}, {2251: 1.5, 20_000: 4.0}


def write_embeddings(path: Path, n_rows: int, n_features: int) -> None:
    """Write unit vectors that resemble text embeddings: themes over a slowly decaying spectrum."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    scale = np.arange(1, n_features + 1, dtype=np.float32) ** np.float32(-0.6)
    scale = rng.permutation(scale)
    themes = rng.standard_normal((12, n_features), dtype=np.float32) * scale
    vectors = rng.standard_normal((n_rows, n_features), dtype=np.float32) * scale
    vectors += np.float32(0.7) * themes[rng.integers(0, len(themes), n_rows)]
    vectors += np.float32(1.5) * rng.standard_normal(n_features, dtype=np.float32) * scale
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pl.DataFrame({"embedding": pl.Series(vectors)}).write_parquet(path)


def sweep_here(embeddings: Path, metrics: Path) -> None:
    """Run the sweep in this process; print times and peak memory as JSON."""
    start = time.perf_counter()
    import polars as pl

    from advcluster_dagster.science.semantic_clustering.candidates import SweepSettings, sweep_candidates

    imported = time.perf_counter()
    matrix = pl.read_parquet(embeddings)["embedding"].to_numpy()
    sweep = sweep_candidates(matrix, SweepSettings(ALL_DIMS, ALL_COUNTS[0], ALL_COUNTS[-1]))
    sweep.metrics.write_parquet(metrics)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    times = {"import": imported - start, "sweep": time.perf_counter() - imported}
    print(json.dumps({**times, "peak_gb": peak_kib * 1024 / 1e9}))


def sweep_in_fresh_process(embeddings: Path, metrics: Path) -> dict[str, float]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--worker", str(embeddings), str(metrics)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return {**json.loads(done.stdout), "process": time.perf_counter() - start}


def plain_scores(
    embeddings: Path, dims: tuple[int, ...], counts: tuple[int, ...], seconds: dict[str, float]
) -> Iterator[tuple[int, int, float, float]]:
    """Yield scores of (d', K) by plain scikit-learn; add the time spent to `seconds`."""
    import numpy as np
    import polars as pl
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.metrics import davies_bouldin_score, silhouette_score

    matrix = pl.read_parquet(embeddings)["embedding"].to_numpy()
    for pca_dim in dims:
        start = time.perf_counter()
        points = PCA(pca_dim, svd_solver="full").fit_transform(matrix).astype(np.float64)
        seconds["pca"] += time.perf_counter() - start
        for n_clusters in counts:
            start = time.perf_counter()
            labels = KMeans(n_clusters, random_state=0, n_init="auto").fit_predict(points)
            scores = davies_bouldin_score(points, labels), silhouette_score(points, labels)
            seconds["clusterings"] += time.perf_counter() - start
            yield pca_dim, n_clusters, *scores


def compare_with_plain(embeddings: Path, metrics: Path, mode: str, sweep_seconds: float) -> bool:
    """Print the time of plain scikit-learn and the largest differences; return whether all scores agree."""
    import polars as pl

    dims, counts = (ALL_DIMS, ALL_COUNTS) if mode == "full" else (SAMPLED_DIMS, SAMPLED_COUNTS)
    limit = pl.read_parquet(metrics)["pca_dim"].max()
    dims = tuple(dim for dim in dims if dim <= limit)
    seconds = {"pca": 0.0, "clusterings": 0.0}
    plain = pl.DataFrame(
        list(plain_scores(embeddings, dims, counts, seconds)),
        schema=["pca_dim", "n_clusters", "plain_index", "plain_silhouette"],
        orient="row",
    )
    n_dims = pl.read_parquet(metrics)["pca_dim"].n_unique()
    total = n_dims * (seconds["pca"] + seconds["clusterings"] * len(ALL_COUNTS) / len(counts)) / len(dims)
    kind = "measured" if mode == "full" else f"extrapolated from {len(dims)} PCA and {plain.height} clusterings"
    both = plain.join(pl.read_parquet(metrics), on=["pca_dim", "n_clusters"], how="left")
    index_gap = (both["plain_index"] - both["davies_bouldin"]).abs()
    width_gap = (both["plain_silhouette"] - both["silhouette"]).abs()
    print_row("plain scikit-learn", f"{total:.1f} s", kind)
    print_row("ratio", f"{total / sweep_seconds:.1f}x", "plain scikit-learn / Parquet to table")
    print_row("largest index difference", f"{index_gap.max():.1e}", f"{plain.height} candidates, at most {TOLERANCE:g}")
    print_row("largest silhouette difference", f"{width_gap.max():.1e}", "")
    n_missing = index_gap.null_count()
    if n_missing:
        print_row("candidates missing in the sweep", str(n_missing), "")
    return n_missing == 0 and max(index_gap.max(), width_gap.max()) <= TOLERANCE


def print_row(label: str, figure: str, note: str) -> None:
    print(f"{label:<30} {figure:>10}   {note}".rstrip())


def describe_target(targets: dict[int, float], n_rows: int, unit: str) -> str:
    return f"target {targets[n_rows]:g} {unit}" if n_rows in targets else "no target for this size"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2251)
    parser.add_argument("--dims", type=int, default=3072, help="numbers per embedding")
    parser.add_argument("--plain", choices=["sample", "full", "none"], default="sample")
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        sweep_here(*options.worker)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        embeddings, metrics = Path(folder, "embeddings.parquet"), Path(folder, "metrics.parquet")
        write_embeddings(embeddings, options.rows, options.dims)
        sweep = sweep_in_fresh_process(embeddings, metrics)
        print(f"{options.rows} x {options.dims} float32, d' {ALL_DIMS}, K 2 to 15, {os.cpu_count()} processors")
        target = describe_target(TARGET_SECONDS, options.rows, "s")
        print_row("Parquet to table", f"{sweep['sweep']:.2f} s", target)
        print_row("whole process", f"{sweep['process']:.2f} s", f"{sweep['import']:.2f} s of it imports")
        print_row("peak memory", f"{sweep['peak_gb']:.2f} GB", describe_target(TARGET_GB, options.rows, "GB"))
        if options.plain == "none":
            return 0
        agrees = compare_with_plain(embeddings, metrics, options.plain, sweep["sweep"])
    if not agrees:
        print(f"scores differ by more than {TOLERANCE:g}", file=sys.stderr)
    return 0 if agrees else 1


if __name__ == "__main__":
    raise SystemExit(main())
