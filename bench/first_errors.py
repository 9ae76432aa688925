"""Compare the first errors located by the embedded analyst with human annotations.

    python bench/first_errors.py FILE

FILE is JSON Lines, as in MR-GSM8K: `question`, `reference_solution`, `steps` (texts of the wrong solution),
`first_error_step` (from 1; null: none). Rows without a reference solution or an annotated step are ignored. No model
server is called and no file is written.
"""

import argparse
import json
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any

from advcluster_dagster.demo.analyst.divergence import find_divergence
from advcluster_dagster.demo.analyst.findings import Finding
from advcluster_dagster.demo.analyst.reading import statements_of


def main() -> None:
    """Print the shares over all rows and, if the file has tasks, per task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("file", type=Path, help="JSON Lines with annotated solutions")
    lines = parser.parse_args().file.read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("reference_solution") and row.get("first_error_step")]
    if not rows:
        parser.error("no row has both a reference_solution and a first_error_step")
    _report("all rows", rows)
    for task in sorted({str(row["task"]) for row in rows if row.get("task")}):
        _report(task, [row for row in rows if row.get("task") == task])


def step_of(row: dict[str, Any]) -> int | None:
    """The step, from 1, in which the analyst locates the first error; None if it locates none."""
    finding = find_divergence(row["question"], row["reference_solution"], "\n".join(row["steps"]))
    if not isinstance(finding, Finding) or finding.wrong_at is None:
        return None
    ends = accumulate(len(statements_of(step)) for step in row["steps"])
    return next((number for number, end in enumerate(ends, 1) if finding.wrong_at < end), len(row["steps"]))


def _report(name: str, rows: list[dict[str, Any]]) -> None:
    placed = [(row["first_error_step"], step) for row in rows if (step := step_of(row)) is not None]
    off = Counter(min(abs(marked - step), 2) for marked, step in placed)
    n, n_placed = len(rows), len(placed)
    random_step = sum(1 / len(row["steps"]) for row in rows) / n
    print(
        f"{name}: {n} rows; marked step {off[0] / n:.1%}, at most one step off {(off[0] + off[1]) / n:.1%}, "
        f"not located {1 - n_placed / n:.1%}; of the located {off[0] / max(n_placed, 1):.1%} in the marked step, "
        f"{(off[0] + off[1]) / max(n_placed, 1):.1%} at most one off; a random step {random_step:.1%}"
    )


if __name__ == "__main__":
    main()
