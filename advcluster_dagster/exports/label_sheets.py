"""Write blinded sheets for human labels, and measure their agreement with the judges.

Items are drawn by a hash of the study's seed, so that a completed sheet can be matched with the items drawn; a sheet
contains no judge's answer.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.science.semantic_clustering.name_checks import cohen_kappa
from advcluster_dagster.science.statistics.resampling import percentile_interval, table_rng
from advcluster_dagster.storage.files import atomic_write
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import read_table
from advcluster_dagster.study.study import Study

#: Items of each kind on a sheet: pairs (label: stage of the first error), advantages (label: cluster).
N_PAIRS, N_ADVANTAGES = 30, 50
_COLUMNS = ("item_id", "kind", "question", "larger_trace", "smaller_trace", "advantage", "allowed", "label")
_N_BOOTSTRAP = 2000
#: First characters that make a spreadsheet read a cell as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class LabelError(AdvClusterError, ValueError):
    """A sheet cannot be written or read; the message is one line."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of human labels with the judges on one kind of item; values are None where undefined.

    ``share`` is the share of equal labels; ``low`` and ``high`` bound the 95% bootstrap interval of Cohen's ``kappa``.
    """

    kind: str
    n_items: int
    n_labelled: int
    share: float | None
    kappa: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class _Item:
    item_id: str
    kind: str
    shown: Mapping[str, str]
    allowed: tuple[str, ...]
    judged: str


def write_sheet(home: Home, study: Study, family: str, path: Path) -> int:
    """Write a sheet for one family and return its number of items.

    Raises:
        LabelError: the file exists, or the family has neither first errors nor a taxonomy.
    """
    if path.exists():
        raise LabelError(f"{path} already exists; read it with --read, or choose another name")
    items = _items(home, study, family)
    if not items:
        raise LabelError(f"study {study.study}: family {family} has nothing to label yet; run it first")
    with atomic_write(path) as staged, staged.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for item in items:
            row = {"item_id": item.item_id, "kind": item.kind, **item.shown, "allowed": " | ".join(item.allowed)}
            writer.writerow({name: _cell(text) for name, text in row.items()})
    return len(items)


def read_sheet(home: Home, study: Study, family: str, path: Path) -> list[Agreement]:
    """Measure the agreement of a sheet's labels with the judges, by kind; rows without a label are only counted.

    Raises:
        LabelError: the file is not a sheet of this study and family, or a label is not among those allowed.
    """
    items = {item.item_id: item for item in _items(home, study, family)}
    labels: dict[str, str] = {}
    for number, (item_id, cell) in enumerate(_rows(path), start=1):
        item, label = items.get(item_id or ""), (cell or "").strip()
        if item is None:
            raise LabelError(f"{path}, row {number}: item {(item_id or '')[:60]!r} was not drawn for {family}")
        if label and label not in item.allowed:
            allowed = ", ".join(item.allowed)
            raise LabelError(f"{path}, row {number}, field label: {label[:60]!r}; allowed: {allowed}")
        if label and labels.get(item_id, label) != label:
            raise LabelError(f"{path}, row {number}: item {item_id} has two labels")
        labels |= {item_id: label} if label else {}
    return [
        _agreement(kind, [item for item in items.values() if item.kind == kind], labels, study.seed)
        for kind in ("stage", "cluster")
    ]


def _rows(path: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (item id, label) of each row; accepts commas or, as written in some locales, semicolons."""
    try:
        header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        separator = ";" if header.count(";") > header.count(",") else ","
        frame = pl.read_csv(path, infer_schema=False, separator=separator)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise LabelError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from None
    for name in ("item_id", "label"):
        if name not in frame.columns:
            raise LabelError(f"{path}: column {name} is missing; it has {', '.join(frame.columns)[:200]}")
    yield from frame.select("item_id", "label").iter_rows()


def _agreement(kind: str, items: Sequence[_Item], labels: Mapping[str, str], seed: int) -> Agreement:
    pairs = [(item.judged, labels[item.item_id]) for item in items if item.item_id in labels]
    kappa, low, high = cohen_kappa(pairs), None, None
    if len(pairs) > 1 and kappa is not None:
        rng = table_rng(seed, "labels", kind)
        draws = rng.integers(0, len(pairs), size=(_N_BOOTSTRAP, len(pairs)))
        replicates = [cohen_kappa([pairs[i] for i in draw]) for draw in draws]
        low, high = percentile_interval(np.array([np.nan if k is None else k for k in replicates]), 0.95)
    share = sum(a == b for a, b in pairs) / len(pairs) if pairs else None
    return Agreement(kind, len(items), len(pairs), share, kappa, low, high)


def _items(home: Home, study: Study, family: str) -> list[_Item]:
    return sorted([*_pairs(home, study, family), *_advantages(home, study, family)], key=lambda item: item.item_id)


def _table(home: Home, study: Study, name: str, family: str) -> pl.DataFrame:
    frame = read_table(home.lake, study, TABLES[name])
    return frame.filter(pl.col("family") == family) if "family" in frame.columns else frame


def _drawn(frame: pl.DataFrame, key: str, kind: str, seed: int, n_drawn: int) -> list[tuple[str, dict[str, str]]]:
    """Draw the rows with the smallest hashes, as (item id, row)."""
    rows = [(_item_id(seed, kind, row[key]), row) for row in frame.iter_rows(named=True)]
    return sorted(rows, key=lambda item: item[0])[:n_drawn]


def _item_id(seed: int, kind: str, key: str) -> str:
    return hashlib.sha256(f"{seed}\x1f{kind}\x1f{key}".encode()).hexdigest()[:16]


def _pairs(home: Home, study: Study, family: str) -> list[_Item]:
    """Items that ask for the stage of the first error of a pair."""
    errors, pairs = (_table(home, study, name, family) for name in ("first_errors", "trace_pairs"))
    if errors.is_empty():
        return []
    keys = ["domain", "question_id"]
    questions = _table(home, study, "benchmark_questions", family).select(*keys, "prompt")
    joined = errors.join(pairs.drop("family", "domain", "question_id"), on="pair_id").join(questions, on=keys)
    drawn = _drawn(joined, "pair_id", "stage", study.seed, N_PAIRS)
    traces = {
        role: {
            (row["domain"], row["question_id"], row["trial"]): row["response"] or ""
            for row in _table(home, study, f"{role}_traces", family)
            .select(*keys, "trial", "response")
            .iter_rows(named=True)
        }
        for role in ("larger", "smaller")
    }
    return [
        _Item(
            item_id,
            "stage",
            {
                "question": row["prompt"],
                **{
                    f"{role}_trace": traces[role][row["domain"], row["question_id"], row[f"{role}_trial"]]
                    for role in traces
                },
            },
            tuple(STAGE_DEPTHS),
            row["stage"],
        )
        for item_id, row in drawn
    ]


def _advantages(home: Home, study: Study, family: str) -> list[_Item]:
    """Items that ask for the cluster of an advantage; the labels are the clusters' names."""
    taxonomy = _table(home, study, "final_taxonomy", family).drop_nulls("tag").sort("cluster_id")
    if taxonomy.is_empty():
        return []
    names = {cluster: f"#{cluster} {tag}" for cluster, tag in taxonomy.select("cluster_id", "tag").iter_rows()}
    members = _table(home, study, "taxonomy_assignments", family).filter(pl.col("cluster_id").is_in(list(names)))
    corpus = _table(home, study, "advantage_corpus", family).select("advantage_id", "advantage")
    drawn = _drawn(members.join(corpus, on="advantage_id"), "advantage_id", "cluster", study.seed, N_ADVANTAGES)
    return [
        _Item(item_id, "cluster", {"advantage": row["advantage"]}, tuple(names.values()), names[int(row["cluster_id"])])
        for item_id, row in drawn
    ]


def _cell(text: str) -> str:
    """Escape a text that a spreadsheet would read as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
