"""Import sample files written by the lm-evaluation-harness itself."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent.parent / "cases" / "lm_eval"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed"),
]


def _records(folder: Path) -> dict[tuple[str, str], list[dict[str, object]]]:
    """Records of every sample file by model and task, without its random log-likelihoods."""
    by_task = {}
    for path in folder.rglob("samples_*.jsonl"):
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        task = path.name.rpartition("_")[0]
        for record in records:
            if task == "samples_sums_options":
                record["resps"] = record["filtered_resps"] = record["acc"] = record["acc_norm"] = None
        by_task[path.parent.name, task] = records
    return by_task


def test_the_harness_writes_what_the_committed_files_hold(tmp_path):
    """Ensures that the import tests, which read the committed files, are valid for the installed version too."""
    subprocess.run([sys.executable, str(CASES / "make.py"), str(tmp_path)], check=True, timeout=500)
    made, committed = _records(tmp_path), _records(CASES / "runs")
    assert len(made) == 9
    assert made == committed
    (results,) = (tmp_path / "org__small").glob("results_*.json")
    assert json.loads(results.read_bytes())["model_name"] == "org/small"
