"""Write preference pairs as a data set for preference training: JSON Lines, Parquet and a card.

The formats are those of TRL, conversational with an explicit prompt: ``dpo`` has a row a pair with prompt, chosen and
rejected; ``kto`` two rows a pair with prompt, completion and label; ``sft`` prompt and completion of the chosen traces.
Every row of ``train`` has a row of the same place in ``rows.parquet`` that names the pairs that it comes from.
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
#: Why an exported pair is not written: it is not of the selection, a text is missing, thinking that is to be stripped
#: was never closed, or both texts are equal.
REASONS_UNWRITTEN = ("not_selected", "no_text", "open_thinking", "identical_text")
_COLUMNS = ("preference_id", "scheme", "combination", "prompt", "chosen", "rejected", "delta", "is_exported",
            "reason_left_out")  # fmt: skip


class PreferenceExportError(AdvClusterError, ValueError):
    """Nothing can be written; one line that says what is missing and what to do."""


@dataclass(frozen=True)
class WrittenPreferences:
    """A data set that was written.

    Attributes:
        files: train.jsonl, train.parquet, rows.parquet, README.md.
        n_rows: rows of the data set.
        n_pairs: pairs that it comes from.
        unwritten: number of exported pairs by reason of ``REASONS_UNWRITTEN``; with ``n_pairs`` they add up to all
            exported pairs.
        n_both_labels: of format kto, completions that a prompt has with both labels, since they were preferred in one
            pair and rejected in another.
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
    """Write a data set into a folder, which is made where there is none; files of the same names are replaced.

    Equal arguments give equal files.

    Args:
        folder: where to write.
        pairs: preference_id, scheme, combination, prompt, chosen, rejected (texts), delta, is_exported,
            reason_left_out; one row a pair, in the order of the data set. Pairs that are not exported are counted on
            the card and may lack their texts.
        form: format.
        thinking: whether completions keep what stands between marks of thinking.
        facts: what the card says of where the pairs come from.
        selected: ids of the pairs to write; None for all exported ones.

    Raises:
        PreferenceExportError: a column is missing, a format is unknown, or no pair is left to be written.
    """
    _check_call(pairs, form, thinking)
    checked = _checked(pairs.filter("is_exported"), form, thinking, selected)
    unwritten = dict(checked.drop_nulls("fault")["fault"].value_counts().sort("fault").iter_rows())
    written = checked.filter(pl.col("fault").is_null())
    if written.is_empty():
        counted = ", ".join(f"{name} {number}" for name, number in unwritten.items()) or "none is exported"
        raise PreferenceExportError(f"no preference pair is left to write ({counted}); draw others, or relax filters")
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
    """The files of a data set; the card comes last."""
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
    """The pairs with the texts to write, and why a pair is not written (``fault``, null where it is)."""
    is_selected = pl.lit(True) if selected is None else pl.col("preference_id").is_in(list(selected))
    sides = ("chosen",) if form == "sft" else ("chosen", "rejected")
    texts, is_open = exported, pl.lit(False)
    if thinking == "strip":
        behind = {side: pl.Series(map(_behind_thinking, exported[side]), dtype=pl.String) for side in sides}
        opened = {f"{side}_open": exported[side].is_not_null() & behind[side].is_null() for side in sides}
        texts, is_open = exported.with_columns(**behind, **opened), pl.any_horizontal(*opened)
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


def _behind_thinking(text: str | None) -> str | None:
    behind = None if text is None else without_thinking(text)
    return None if behind is None else behind.strip()


def _dpo_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select("prompt", "chosen", "rejected", preference_ids=pl.concat_list("preference_id"))


def _kto_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    """Chosen, then rejected of each pair; a completion of a prompt is given once with each label that it has."""
    sides = [
        pairs.select(
            "prompt", completion=side, label=pl.lit(side == "chosen"), preference_id="preference_id",
            place=2 * pl.int_range(pl.len()) + (side == "rejected"),
        )
        for side in ("chosen", "rejected")
    ]  # fmt: skip
    return _each_once(pl.concat(sides).sort("place"), ["prompt", "completion", "label"])


def _sft_rows(pairs: pl.DataFrame) -> pl.DataFrame:
    return _each_once(pairs.select("prompt", "preference_id", completion="chosen"), ["prompt", "completion"])


def _each_once(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    return rows.group_by(key, maintain_order=True).agg(preference_ids="preference_id")


def _message(name: str) -> pl.Expr:
    """A text as the only message of the user or of the assistant."""
    role = pl.lit("user" if name == "prompt" else "assistant").alias("role")
    return pl.concat_list(pl.struct(role, pl.col(name).alias("content"))).alias(name)


_ROWS: Mapping[str, Callable[[pl.DataFrame], pl.DataFrame]] = {"dpo": _dpo_rows, "kto": _kto_rows, "sft": _sft_rows}
