"""Benchmark of the import of a large trace file: speed and peak memory.

Writes a synthetic file of `--gigabytes` to a temporary folder, imports it in a fresh process and prints megabytes per
second and the peak resident memory of that process. Target: 5 GB within 500 MB.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from advcluster_dagster.sources.imports.questions import import_questions
from advcluster_dagster.sources.imports.traces import import_traces
from advcluster_dagster.study.study import Study

TRIALS = 10
RESPONSE_WORDS = 900  # about 6 kB, a reasoning trace of medium length
STUDY = Study.model_validate(
    {
        "study": "bench",
        "trials": TRIALS,
        "families": {
            "f": {
                "larger": {"model": "large", "provider": "imported"},
                "smaller": {"model": "small", "provider": "imported"},
            }
        },
        "domains": {"math": ["b"]},
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the file, in 10^9 bytes")
    parser.add_argument("--import-from", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.import_from:
        import_and_report(arguments.import_from)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), int(arguments.gigabytes * 1e9))
        subprocess.run([sys.executable, __file__, "--import-from", folder], check=True)


def write_files(folder: Path, n_bytes: int) -> None:
    words = random.Random(0).choices(
        [f"step{i}" for i in range(500)] + ["so", "\n", '"x"', "²", "\\frac{1}{2}"], k=50_000
    )
    written, index = 0, 0
    with (folder / "traces.jsonl").open("w", encoding="utf-8") as traces:
        while written < n_bytes:
            for trial in range(TRIALS):
                for model in ("large", "small"):
                    start = (index * 7919 + trial * 104_729) % (len(words) - RESPONSE_WORDS)
                    response = " ".join(words[start : start + RESPONSE_WORDS]) + f" \\boxed{{{index}}}"
                    record = {"question_id": f"q{index}", "model": model, "trial": trial, "response": response}
                    written += traces.write(json.dumps(record, ensure_ascii=False) + "\n")
            index += 1
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as questions:
        for i in range(index):
            record = {"question_id": f"q{i}", "question": f"What is {i}?", "answer": i, "answer_type": "numeric"}
            questions.write(json.dumps(record) + "\n")


def import_and_report(folder: Path) -> None:
    import_questions(folder / "questions.jsonl", STUDY, "math", "b", folder / "imports")
    size = (folder / "traces.jsonl").stat().st_size
    start = time.perf_counter()
    summary = import_traces(folder / "traces.jsonl", STUDY, "f", "math", "b", folder / "imports")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size / 1e9:.2f} GB, {summary.n_rows} traces in {seconds:.1f} s")
    print(f"{size / 1e6 / seconds:.0f} MB/s, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
