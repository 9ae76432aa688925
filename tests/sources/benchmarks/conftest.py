"""A home without a network."""

from pathlib import Path
from typing import Any

import pytest

from advcluster_dagster.storage.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Only the home's own cache, and no network."""
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)

    def refuse(*_given: Any, **_named: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    return Home(tmp_path)
