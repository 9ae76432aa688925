"""TRL itself recognises exported preference pairs, extracts prompts, tokenises and trains on them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from advcluster_dagster.exports.preference_cards import DatasetFacts
from advcluster_dagster.exports.preferences import DatasetForm, write_preferences
from tests.integration.tiny_models import EASY, QUESTIONS, question_text, worked_answer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed"),
]
PAIRED = [question for question in QUESTIONS if question not in EASY]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with wrong answers, trained in a separate process."""
    folder = tmp_path_factory.mktemp("tiny") / "smaller"
    script = Path(__file__).with_name("tiny_models.py")
    subprocess.run([sys.executable, str(script), str(folder), "smaller"], check=True, timeout=300)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def data_set(folder: Path, form: DatasetForm) -> Any:
    from datasets import load_dataset

    pairs = pl.DataFrame(
        {
            "preference_id": [f"p{place}" for place in range(len(PAIRED))],
            "scheme": "generator",
            "combination": "c_i",
            "prompt": [question_text(*question) for question in PAIRED],
            "chosen": [worked_answer(*question, is_right=True) for question in PAIRED],
            "rejected": [worked_answer(*question, is_right=False) for question in PAIRED],
            "delta": pl.Series([None] * len(PAIRED), dtype=pl.Float64),
            "is_exported": True,
            "reason_left_out": pl.Series([None] * len(PAIRED), dtype=pl.String),
        }
    )
    write_preferences(folder / form, pairs, form, "keep", DatasetFacts("s", "f", "all", [], []))
    lines = str(folder / form / "train.jsonl")
    return load_dataset("json", data_files=lines, split="train", cache_dir=str(folder / "cache"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("form", ["dpo", "kto", "sft"])
def test_rows_are_conversational_with_an_explicit_prompt(form: DatasetForm, tmp_path: Path) -> None:
    from trl.data_utils import is_conversational, maybe_extract_prompt

    row = data_set(tmp_path, form)[0]
    assert is_conversational(row)
    assert maybe_extract_prompt(row) == row  # nothing is left to extract
    assert row["prompt"] == [{"role": "user", "content": question_text(*PAIRED[0])}]


@pytest.mark.usefixtures("offline")
def test_dpo_tokenises_both_sides_and_lowers_its_loss(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer  # type: ignore[attr-defined]

    settings = DPOConfig(
        output_dir=str(tmp_path / "out"), use_cpu=True, max_steps=8, per_device_train_batch_size=len(PAIRED),
        learning_rate=1e-3, beta=0.2, report_to="none", logging_steps=1, max_length=256, seed=0, bf16=False,
        gradient_checkpointing=False,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model), args=settings, processing_class=tokenizer,
        train_dataset=data_set(tmp_path, "dpo"),
    )  # fmt: skip
    row = trainer.train_dataset[0]
    for side, is_right in (("chosen", True), ("rejected", False)):
        assert worked_answer(*PAIRED[0], is_right=is_right) in tokenizer.decode(row[f"{side}_ids"])
    assert question_text(*PAIRED[0]) in tokenizer.decode(row["prompt_ids"])
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
