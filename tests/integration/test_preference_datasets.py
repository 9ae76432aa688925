"""Load exported preference pairs with Hugging Face `datasets` itself."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from advcluster_dagster.exports.preference_cards import DatasetFacts
from advcluster_dagster.exports.preferences import write_preferences

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="datasets is not installed"),
]
COLUMNS = {
    "dpo": ["prompt", "chosen", "rejected"],
    "kto": ["prompt", "completion", "label"],
    "sft": ["prompt", "completion"],
}


@pytest.mark.parametrize("form", list(COLUMNS))
def test_data_sets_are_loaded_from_lines_and_from_the_folder(form, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    pairs = pl.DataFrame(
        {
            "preference_id": ["p0", "p1"], "scheme": "generator", "combination": "c_i", "prompt": ["1+1?", "2+2?"],
            "chosen": ["<think>a</think>\n2", "4\u2028"], "rejected": ["3", "\u00e9"], "delta": [0.5, None],
            "is_exported": True, "reason_left_out": pl.Series([None, None], dtype=pl.String),
        }
    )  # fmt: skip
    folder = tmp_path / "set"
    written = write_preferences(folder, pairs, form, "keep", DatasetFacts("s", "f", "all", [], []))
    cache = str(tmp_path / "cache")
    lines = load_dataset("json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=cache)
    whole = load_dataset(str(folder), split="train", cache_dir=cache)
    assert lines.column_names == whole.column_names == COLUMNS[form]
    assert list(lines) == list(whole)
    assert len(lines) == written.n_rows == (4 if form == "kto" else 2)
    assert lines[0]["prompt"] == [{"role": "user", "content": "1+1?"}]
