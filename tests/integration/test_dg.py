"""Dagster's command line, ``dg``, on a checkout: it lists, checks and launches the studies of a home."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.orchestration.instance import instance_environment
from advcluster_dagster.orchestration.partition_definitions import sync_partitions
from advcluster_dagster.study.partition import Partition
from tests.studies import GIVEN, SmallHome, given_study, write_study

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def dg_of(small: SmallHome, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("dg")), *arguments]
    environment = {**os.environ, **instance_environment(small.home), "VIRTUAL_ENV": sys.prefix}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def two_studies(tmp_path: Path) -> SmallHome:
    write_study(tmp_path / "home", {**GIVEN, "study": "other"})
    return given_study(tmp_path / "home")


def test_dg_checks_lists_and_launches(two_studies: SmallHome) -> None:
    checked = dg_of(two_studies, "check", "defs")
    assert checked.returncode == 0, checked.stderr
    listed = dg_of(two_studies, "list", "defs", "--json")
    assets: list[dict[str, Any]] = json.loads(listed.stdout)["assets"]
    groups = {asset["asset_key"]: asset["group_name"] for asset in assets}
    assert groups["given/graded_trials"] == "given__grading"
    assert groups["other/graded_trials"] == "other__grading"
    with two_studies.instance() as instance:
        sync_partitions(instance, two_studies.study)
    assert two_studies.stamp("benchmark_questions", Partition(domain="sums")) is None
    launched = dg_of(two_studies, "launch", "--assets", "given/benchmark_questions", "--partition", "sums")
    assert launched.returncode == 0, launched.stderr
    assert two_studies.stamp("benchmark_questions", Partition(domain="sums")) is not None
