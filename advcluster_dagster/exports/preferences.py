"""Write preference pairs as a data set for preference training: JSON Lines, Parquet and a card.

The formats are those of TRL, conversational with an explicit prompt: ``dpo`` has one row per pair with prompt, chosen
and rejected; ``kto`` two rows per pair with prompt, completion and label; ``sft`` prompt and completion of the chosen
traces. Row n of ``rows.parquet`` lists the pairs that row n of ``train`` comes from.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.exports.preference_cards import CardContent, DatasetFacts, preference_card
from advcluster_dagster.science.thinking import without_thinking
from advcluster_dagster.storage.files import atomic_write

DatasetForm = Literal["dpo", "kto", "sft"]
Thinking = Literal["keep", "strip"]
#: Why an exported pair is not written: it is not selected, a text is missing, thinking to be stripped is unclosed, or
#: both texts are equal.
REASONS_UNWRITTEN = ("not_selected", "no_text", "open_thinking", "identical_text")
_COLUMNS = ("preference_id", "scheme", "combination", "prompt", "chosen", "rejected", "delta", "is_exported",
            "reason_left_out")  # fmt: skip


class PreferenceExportError(AdvClusterError, ValueError):
    """Nothing can be written; the one-line message says what is missing and what to do."""


@dataclass(frozen=True)
class WrittenPreferences:
    """Summary of a written data set.

    Attributes:
        files: train.jsonl, train.parquet, rows.parquet, README.md.
        n_rows: Number of rows.
        n_pairs: Number of pairs that they come from.
        unwritten: Number of exported pairs by reason of ``REASONS_UNWRITTEN``; together with ``n_pairs`` they add up
            to all exported pairs.
        n_both_labels: For format kto, number of completions with both labels for the same prompt, because they were
            preferred in one pair and rejected in another.
    """

    files: tuple[Path, ...]
    n_rows: int
    n_pairs: int
    unwritten: Mapping[str, int]
    n_both_labels: int = 0


def write_preferences(
    folder: Path,
    pairs: pl.DataFrame,
    form: DatasetForm,
    thinking: Thinking,
    facts: DatasetFacts,
    selected: Collection[str] | None = None,
) -> WrittenPreferences:
    """Write a data set to a folder, which is created if missing; existing files are replaced.

    The output is deterministic.

    Args:
        folder: Output folder.
        pairs: Columns preference_id, scheme, combination, prompt, chosen, rejected (texts), delta, is_exported,
            reason_left_out; one row per pair, in the order of the data set. Pairs that are not exported are counted on
            the card and may lack their texts.
        form: Format.
        thinking: Whether completions keep text inside thinking tags.
        facts: Provenance of the pairs, for the card.
        selected: Ids of the pairs to write; None for all exported ones.

    Raises:
        PreferenceExportError: a column is missing, a format is unknown, or no pair remains to write.
    """
    _check_call(pairs, form, thinking)
    checked = _checked(pairs.filter("is_exported"), form, thinking, selected)
    unwritten = dict(checked.drop_nulls("fault")["fault"].value_counts().sort("fault").iter_rows())
    written = checked.filter(pl.col("fault").is_null())
    if written.is_empty():
        counted = ", ".join(f"{name} {number}" for name, number in unwritten.items()) or "none is exported"
        raise PreferenceExportError(f"no preference pair remains to write ({counted}); draw others, or relax filters")
    rows = _ROWS[form](written)
    n_both_labels = rows.height - rows.select("prompt", "completion").n_unique() if form == "kto" else 0
    card = preference_card(CardContent(facts, form, thinking, pairs, written, unwritten, rows.height, n_both_labels))
    paths = _write(folder, rows, card)
    return WrittenPreferences(paths, rows.height, written.height, unwritten, n_both_labels)


def _check_call(pairs: pl.DataFrame, form: str, thinking: str) -> None:
    missing = [name for name in _COLUMNS if name not in pairs.columns]
    if missing:
        raise PreferenceExportError(f"preference pairs: columns {', '.join(missing)} are missing")
    for name, value, allowed in (("format", form, get_args(DatasetForm)), ("thinking", thinking, get_args(Thinking))):
        if value not in allowed:
            raise PreferenceExportError(f"{name} {value!r}; allowed: {', '.join(allowed)}")


def _write(folder: Path, rows: pl.DataFrame, card: str) -> tuple[Path, ...]:
    """Write the files of a data set, the card last."""
    texts = [name for name in rows.columns if name not in ("label", "preference_ids")]
    messages = rows.drop("preference_ids").with_columns(_message(name) for name in texts)
    origin = rows.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), "preference_ids")
    files: dict[str, Callable[[Path], object]] = {
        "train.jsonl": messages.write_ndjson,
        "train.parquet": messages.write_parquet,
        "rows.parquet": origin.write_parquet,
        "README.md": lambda path: path.write_text(card, encoding="utf-8"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in files.items():
        with atomic_write(folder / name) as staged:
            write(staged)
    return tuple(folder / name for name in files)


def _checked(
    exported: pl.DataFrame, form: DatasetForm, thinking: Thinking, selected: Collection[str] | None
) -> pl.DataFrame:
    """Add the texts to write, and the reason why a pair is not written (``fault``, null if it is written)."""
    is_selected = pl.lit(True) if selected is None else pl.col("preference_id").is_in(list(selected))
    sides = ("chosen",) if form == "sft" else ("chosen", "rejected")
    texts, is_open = exported, pl.lit(False)
    if thinking == "strip":
        stripped = {side: pl.Series(map(_strip_thinking, exported[side]), dtype=pl.String) for side in sides}
        opened = {f"{side}_open": exported[side].is_not_null() & stripped[side].is_null() for side in sides}
        texts, is_open = exported.with_columns(**stripped, **opened), pl.any_horizontal(*opened)
    bare = {name: pl.col(name).fill_null("").str.strip_chars() for name in ("prompt", *sides)}
    is_blank = pl.any_horizontal(text == "" for text in bare.values())
    is_same = bare["chosen"] == bare["rejected"] if "rejected" in bare else pl.lit(False)
    fault = (
        pl.when(~is_selected)
        .then(pl.lit("not_selected"))
        .when(is_open)
        .then(pl.lit("open_thinking"))
        .when(is_blank)
        .then(pl.lit("no_text"))
        .when(is_same)
        .then(pl.lit("identical_text"))
        .otherwise(None)
    )
    return texts.with_columns(fault=fault)


def _strip_thinking(text: str | None) -> str | None:
    stripped = None if text is None else without_thinking(text)
    return None if stripped is None else stripped.strip()


def _dpo_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select("prompt", "chosen", "rejected", preference_ids=pl.concat_list("preference_id"))


def _kto_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    """Chosen, then rejected of each pair; each combination of prompt, completion and label occurs once."""
    sides = [
        pairs.select(
            "prompt", completion=side, label=pl.lit(side == "chosen"), preference_id="preference_id",
            place=2 * pl.int_range(pl.len()) + (side == "rejected"),
        )
        for side in ("chosen", "rejected")
    ]  # fmt: skip
    return _unique_rows(pl.concat(sides).sort("place"), ["prompt", "completion", "label"])


def _sft_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    return _unique_rows(pairs.select("prompt", "preference_id", completion="chosen"), ["prompt", "completion"])


def _unique_rows(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    return rows.group_by(key, maintain_order=True).agg(preference_ids="preference_id")


def _message(name: str) -> pl.Expr:
    """Wrap a text as a single message of the user or the assistant."""
    role = pl.lit("user" if name == "prompt" else "assistant").alias("role")
    return pl.concat_list(pl.struct(role, pl.col(name).alias("content"))).alias(name)


_ROWS: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {"dpo": _dpo_rows, "kto": _kto_rows, "sft": _sft_rows}
