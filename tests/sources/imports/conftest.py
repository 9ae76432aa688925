"""A small study with imported traces, and files to import into it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.study.study import Study

IMPORTED = {"provider": "imported"}
STUDY = {
    "study": "sums",
    "trials": 2,
    "families": {
        "f": {
            "larger": {"model": "org/large", "aliases": ["large"], **IMPORTED},
            "smaller": {"model": "small", **IMPORTED},
        },
        "g": {"larger": {"model": "served", "provider": "vllm"}, "smaller": {"model": "tiny", **IMPORTED}},
    },
    "domains": {"math": ["addition", "subtraction"], "physics": ["motion"]},
    "benchmarks": {"motion": {"source": "simulated"}},
}


@pytest.fixture
def study() -> Study:
    return Study.model_validate(STUDY)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "imports"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write records, or raw lines, to a file."""

    def write_file(*lines: dict[str, Any] | str | bytes, name: str = "file.jsonl") -> Path:
        encoded = (line if isinstance(line, str | bytes) else json.dumps(line) for line in lines)
        path = tmp_path / name
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in encoded))
        return path

    return write_file


@pytest.fixture
def content(root: Path) -> Callable[[], dict[str, bytes]]:
    """All imported files with their bytes, except the lock file."""

    def read() -> dict[str, bytes]:
        files = (path for path in root.rglob("*") if path.is_file() and path.name != ".import.lock")
        return {str(path.relative_to(root)): path.read_bytes() for path in files}

    return read
