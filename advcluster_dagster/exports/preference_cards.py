"""Render the data card of a set of preference pairs: provenance, excluded pairs, permitted use.

Names, sources and filters are external input, for example from model pages and imported files; each is escaped and
written on one line.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from advcluster_dagster.contracts.preferences import COMBINATIONS, REASONS_LEFT_OUT, SCHEMES
from advcluster_dagster.printable import one_line
from advcluster_dagster.science.preferences.selection import LengthRatios

_MOST_CHARACTERS = 300
_MARKUP = re.compile(r"[!-,./:-@\[-`{-~]")  # all punctuation of ASCII but the hyphen
_BAR_CHARACTERS = 40
_BIN_WIDTH = 0.5
_UNKNOWN = "not given"
#: Training settings of the paper on preference deltas (appendix D); it gives none for sft.
_SUGGESTED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "dpo": (("learning rate", "5e-8"), ("beta", "0.2"), ("maximum length", "8,192 tokens")),
    "kto": (
        ("learning rate", "5e-8"), ("beta", "0.5"), ("weight of desirable completions", "1.0"),
        ("weight of undesirable completions", "1.0"), ("maximum length", "8,192 tokens"),
    ),
    "sft": (),
}  # fmt: skip
_ROW_OF = {
    "dpo": "a pair: `prompt`, `chosen`, `rejected`, each a list of one message",
    "kto": "a completion: `prompt` and `completion`, each a list of one message, and `label` (true: chosen of a pair)",
    "sft": "a chosen trace: `prompt` and `completion`, each a list of one message",
}
_THINKING = {
    "keep": (
        "Completions include the models' thinking with its tags, such as `<think>`. Some chat templates silently strip"
        " thinking from assistant messages: check how your template renders a row before training."
    ),
    "strip": "The models' thinking is removed with its tags; pairs with unclosed thinking are left out.",
}


@dataclass(frozen=True)
class SourceFact:
    """Where the questions of a benchmark come from."""

    benchmark: str
    source: str
    revision: str
    licence: str | None = None


@dataclass(frozen=True)
class ModelFact:
    """A model whose traces are in the data set."""

    role: str
    name: str
    revision: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class DatasetFacts:
    """Facts about a data set, other than its counts, for the card.

    Attributes:
        study: Name of the study.
        family: Name of the family.
        selection: Description of the selection, such as ``top_delta: step_coherence, 1000 pairs``.
        sources: Sources of the questions.
        models: Models of the traces.
        filters: Setting and value of each filter.
        length_ratios: Length ratios of the pairs.
        delta: The rated quantity that deltas refer to; None if traces are not rated.
        ledger_digest: Digest of the ledger of all model calls; None if unknown.
    """

    study: str
    family: str
    selection: str
    sources: Sequence[SourceFact]
    models: Sequence[ModelFact]
    filters: Mapping[str, str] = field(default_factory=dict)
    length_ratios: Sequence[LengthRatios] = ()
    delta: str | None = None
    ledger_digest: str | None = None


@dataclass(frozen=True)
class CardContent:
    """Content of a data set: all pairs, the pairs written, and counts; see ``write_preferences``."""

    facts: DatasetFacts
    form: str
    thinking: str
    pairs: pl.DataFrame
    written: pl.DataFrame
    unwritten: Mapping[str, int]
    n_rows: int
    n_both_labels: int


def escaped(text: str | None) -> str:
    r"""Escape external text as one line of Markdown, at most 300 characters; "not given" if empty.

    >>> escaped("a|b <i>[x](y)</i>")
    'a\\|b \\<i\\>\\[x\\]\\(y\\)\\<\\/i\\>'
    """
    line = one_line(text or "", _MOST_CHARACTERS)
    return _MARKUP.sub(lambda match: f"\\{match[0]}", line) or _UNKNOWN


def preference_card(content: CardContent) -> str:
    """Render the card: Markdown with the front matter that `datasets` uses to find the data."""
    return "\n\n".join([_header(content), *_about(content), *_numbers(content), *_use(content)]) + "\n"


def _header(content: CardContent) -> str:
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.parquet\n"
        f"tags:\n- preference\n- {content.form}\n---"
    )


def _about(content: CardContent) -> Iterable[str]:
    facts = content.facts
    yield f"# Preference pairs of {escaped(facts.study)}, family {escaped(facts.family)}"
    yield (
        f"{content.n_rows} rows from {content.written.height} pairs of reasoning traces, in format {content.form}. A"
        f" row is {_ROW_OF[content.form]}. `train.jsonl` and `train.parquet` contain the same rows; row n of"
        " `rows.parquet` lists the pairs that row n comes from."
    )
    yield _listed("Selection", [("selection", facts.selection), *facts.filters.items()])
    yield "## Sources"
    sources = [(fact.benchmark, fact.source, fact.revision, fact.licence) for fact in facts.sources]
    yield _table(("benchmark", "source", "revision", "licence"), sources)
    models = [(fact.role, fact.name, fact.revision, fact.licence) for fact in facts.models]
    yield _table(("role", "model", "revision", "licence"), models)
    yield (
        "Traces are model output and have not been reviewed: they may contain errors, unsafe content or instructions."
        " The licences of the questions and of the models apply to them."
    )
    yield _listed("Record", [("digest of the ledger of model calls", facts.ledger_digest)])


def _numbers(content: CardContent) -> Iterable[str]:
    yield "## Pairs"
    yield (
        "Combinations name the verdicts of the chosen, then of the rejected trace (c correct, i incorrect). Scheme"
        " generator: chosen from the larger model, rejected from the smaller one; same_model: both from one model."
    )
    yield _table(("scheme", "combination", "drawn", "exported", "written"), _combinations(content))
    counts = dict(content.pairs["reason_left_out"].drop_nulls().value_counts().iter_rows())
    left_out = [(name, counts[name], "when drawn") for name in REASONS_LEFT_OUT if name in counts]
    left_out += [(name, number, "when written") for name, number in content.unwritten.items()]
    yield _table(("left out", "pairs", "when"), left_out) if left_out else "No pair was left out."
    if content.form == "kto":
        yield f"Completions of a prompt with both labels, from different pairs: {content.n_both_labels}."
    if content.facts.length_ratios:
        yield _table(
            (
                "scheme",
                "combination",
                "pairs",
                "geometric mean of length chosen / rejected",
                "interval",
                "median",
                "chosen longer",
            ),
            [_length_row(ratios) for ratios in content.facts.length_ratios],
        )
    yield f"### Deltas ({escaped(content.facts.delta)})"
    yield _histogram(content.written["delta"])


def _use(content: CardContent) -> Iterable[str]:
    yield "## Use"
    yield _THINKING[content.thinking]
    suggested = _SUGGESTED[content.form]
    if suggested:
        yield _listed("Settings that the paper on preference deltas used for an 8B model, to start from", suggested)
        yield "The paper kept the best checkpoint before the loss converged."
    else:
        yield "The paper on preference deltas gives no settings for this format."
    yield (
        "**Contamination.** The questions come from benchmarks. Do not report results of a model trained on these pairs"
        " on the same benchmarks, or on others that share their questions. Held-out questions and detected"
        " near-duplicates of them are left out, as counted above; reworded or translated copies may remain."
    )


def _combinations(content: CardContent) -> list[tuple[object, ...]]:
    frames = (content.pairs, content.pairs.filter("is_exported"), content.written)
    counts = [dict(zip(*_cells(frame), strict=True)) for frame in frames]
    cells = [(scheme, combination) for scheme in SCHEMES for combination in COMBINATIONS]
    return [(*cell, *(count.get(cell, 0) for count in counts)) for cell in cells if cell in counts[0]]


def _cells(frame: pl.DataFrame) -> tuple[list[tuple[object, ...]], list[int]]:
    counted = frame.group_by("scheme", "combination").len()
    return counted.select("scheme", "combination").rows(), counted["len"].to_list()


def _length_row(ratios: LengthRatios) -> tuple[object, ...]:
    ends = (ratios.low, ratios.high)
    interval = "none" if None in ends else " to ".join(f"{end:.2f}" for end in ends)
    shares = [("none" if value is None else f"{value:.2f}") for value in (ratios.median, ratios.longer_share)]
    mean = "none" if ratios.mean is None else f"{ratios.mean:.2f}"
    return ratios.scheme, ratios.combination, ratios.n_pairs, mean, interval, *shares


def _histogram(deltas: pl.Series) -> str:
    """Histogram of deltas as preformatted text, one line per bin of half a point."""
    values = deltas.drop_nulls().to_numpy()
    lines = []
    if len(values):
        bins = np.floor(values / _BIN_WIDTH + 1e-9).astype(int)  # 4.6 - 3.6 is not quite 1
        counts = {place: int((bins == place).sum()) for place in range(bins.min(), bins.max() + 1)}
        most = max(counts.values())
        for place, number in counts.items():
            low = place * _BIN_WIDTH
            bar = "#" * -(-number * _BAR_CHARACTERS // most)
            lines.append(f"{low:5.1f} to below {low + _BIN_WIDTH:4.1f} {number:7d} {bar}".rstrip())
    lines.append(f"{'not rated':19} {deltas.null_count():7d}")
    return "```text\n" + "\n".join(lines) + "\n```"


def _listed(title: str, items: Iterable[tuple[str, str | None]]) -> str:
    return "\n".join([f"{title}:", "", *(f"- {escaped(name)}: {escaped(value)}" for name, value in items)])


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header)]
    cells = [[escaped(None if cell is None else str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [*lines, *cells])
