"""Benchmark of the pass-rate table: the real SQL model over millions of graded trials in Parquet.

Run it as `python bench/pass_rates.py [--trials 10000000]` on Linux. It writes graded trials in the contract's format to
one file, as the asset graph does, runs the model in a fresh process and measures that process's wall time and peak
memory, then runs only the aggregation (counts by question) in another process, for the ratio. Times are printed with
their targets and never fail the benchmark; different counts do.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET_SECONDS, TARGET_GB = 3.0, 2.0
TRIALS_PER_QUESTION, QUESTIONS_PER_BENCHMARK = 10, 50_000
_BARE = """
select
    question_id,
    count(*) filter (where role = 'larger') as larger_n_trials,
    count(is_correct) filter (where role = 'larger') as larger_n_scored,
    count(*) filter (where role = 'larger' and is_correct) as larger_n_correct,
    count(*) filter (where role = 'smaller') as smaller_n_trials,
    count(is_correct) filter (where role = 'smaller') as smaller_n_scored,
    count(*) filter (where role = 'smaller' and is_correct) as smaller_n_correct
from graded_trials
group by question_id
"""


def write_trials(path: Path, n_trials: int) -> None:
    """Write graded trials in the order of the asset: benchmark, question, role, trial."""
    import numpy as np
    import polars as pl

    from advcluster_dagster.contracts.grading import GRADED_TRIALS
    from advcluster_dagster.storage.table_files import Stamp, stage_table
    from advcluster_dagster.study.partition import Partition

    n_questions = n_trials // (2 * TRIALS_PER_QUESTION)
    question = pl.int_range(n_questions, eager=True).alias("question").to_frame()
    roles = pl.DataFrame({"role": ["larger", "smaller"]})
    trials = pl.DataFrame({"trial": range(TRIALS_PER_QUESTION)}, schema={"trial": pl.Int64})
    rows = question.join(roles, how="cross").join(trials, how="cross")
    dice = np.random.default_rng(0).random(rows.height)
    right = pl.Series(dice < 0.6)
    verdicts = pl.when(right).then(pl.lit("correct")).otherwise(pl.lit("wrong"))
    is_graded = pl.Series(dice < 0.98)
    frame = rows.lazy().select(
        pl.format("bench-{}", "question").alias("question_id"),
        pl.format("benchmark-{}", pl.col("question") // QUESTIONS_PER_BENCHMARK).alias("benchmark"),
        "role",
        "trial",
        pl.format("org/model-{}", "role").alias("model"),
        pl.col("question").cast(pl.String).alias("prediction"),
        pl.when(is_graded).then(verdicts).otherwise(pl.lit("grader_timeout")).alias("verdict"),
        pl.when(is_graded).then(right).alias("is_correct"),
        pl.lit("numeric").alias("grader"),
        pl.lit("1").alias("grader_version"),
    )
    from upath import UPath

    stage_table(GRADED_TRIALS, frame, Partition("bench", "math"), UPath(path), Stamp()).publish()


def aggregate_here(trials: str, query: str) -> None:
    """Run the model or the bare aggregation in this process; print time, peak memory and counts as JSON."""
    import duckdb

    from advcluster_dagster.storage.sql_models import bind, sql_models

    with duckdb.connect() as connection:
        bind(connection, {"graded_trials": [trials]})
        start = time.perf_counter()
        rows = sql_models()["pass_rate_table"].run(connection) if query == "model" else connection.sql(_BARE).pl()
        seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    counts = [name for name in rows.columns if "_n_" in name]
    totals = {"rows": rows.height, **{name: int(rows[name].sum()) for name in counts}}
    print(json.dumps({"seconds": seconds, "peak_gb": peak_kib * 1024 / 1e9, "totals": totals}))


def in_fresh_process(trials: Path, query: str) -> dict:  # type: ignore[type-arg]
    start = time.perf_counter()
    completed = subprocess.run(
        [sys.executable, __file__, "--worker", str(trials), query],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return {**json.loads(completed.stdout), "process": time.perf_counter() - start}


def print_row(label: str, figure: str, note: str = "") -> None:
    print(f"{label:<30} {figure:>10}   {note}".rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3, help="number of runs; the fastest is printed")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.worker:
        aggregate_here(*options.worker)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        trials = Path(folder, "graded_trials.parquet")
        write_trials(trials, options.trials)
        size = trials.stat().st_size
        both = {
            query: min((in_fresh_process(trials, query) for _ in range(options.repeats)), key=lambda r: r["seconds"])
            for query in ("model", "bare")
        }
    model, bare = both["model"], both["bare"]
    print(f"{options.trials:,} graded trials, {size / 1e6:.0f} MB of Parquet, {os.cpu_count()} processors")
    print_row("Parquet to pass rates", f"{model['seconds']:.2f} s", f"target {TARGET_SECONDS:g} s")
    print_row("whole process", f"{model['process']:.2f} s")
    print_row("peak memory", f"{model['peak_gb']:.2f} GB", f"target {TARGET_GB:g} GB")
    print_row("bare aggregation", f"{bare['seconds']:.2f} s", f"{bare['peak_gb']:.2f} GB")
    print_row("ratio", f"{model['seconds'] / bare['seconds']:.2f}x", "model / bare aggregation")
    if model["totals"] != bare["totals"]:
        print(f"counts differ: {model['totals']} and {bare['totals']}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
