"""Export the preference pairs of a study: each selection as a separate data set, together with its random control.

Pairs of a benchmark that the study excludes from training are never written, whatever the tables contain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from upath import UPath

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.exports.preference_cards import DatasetFacts, ModelFact, SourceFact
from advcluster_dagster.exports.preferences import (
    DatasetForm,
    PreferenceExportError,
    Thinking,
    WrittenPreferences,
    write_preferences,
)
from advcluster_dagster.science.preferences.near_duplicates import held_out_faults
from advcluster_dagster.science.preferences.selection import length_ratios
from advcluster_dagster.science.statistics.resampling import table_rng
from advcluster_dagster.science.traces import stack_traces
from advcluster_dagster.sources.held_out import HeldOutError, held_out_questions
from advcluster_dagster.storage.home import Home
from advcluster_dagster.storage.table_files import read_stamp, read_table, table_path
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

#: Advice by reason, for traces (often imported ones) that lack a value needed by a filter.
_ADVICE = {
    "finish_unknown": "set preferences.accepts_unknown_finish: true",
    "missing_tokens": "set preferences.max_tokens: null",
}
#: Selections that are exported together with their random control.
_WITH_CONTROL = ("top_delta", "cluster")


@dataclass(frozen=True)
class PreferenceExport:
    """A data set of one selection."""

    selection: str
    folder: Path
    written: WrittenPreferences


def export_preferences(
    home: Home,
    study: Study,
    family: str,
    folder: Path,
    form: DatasetForm = "dpo",
    thinking: Thinking = "keep",
    selection: str | None = None,
) -> Iterator[PreferenceExport]:
    """Write the data set of a selection, and of its random control if it has one, each to a folder of that name.

    Args:
        home: Home folder with the tables.
        study: The study.
        family: One of its families.
        folder: Parent of the selections' folders.
        form: Format, see :mod:`.preferences`.
        thinking: Whether completions keep text inside thinking tags.
        selection: A selection in the tables; None for the one in the study's settings.

    Raises:
        PreferenceExportError: the study has no preference pairs, allows no benchmark, or lacks the selection.
    """
    lake = home.lake
    if study.preferences is None:
        raise PreferenceExportError(
            f"study {study.study} has no section preferences; add one, for example preferences: {{}}"
        )
    if family not in study.families:
        raise PreferenceExportError(
            f"study {study.study} has no family {family!r}; allowed: {', '.join(study.families)}"
        )
    pairs = read_table(lake, study, TABLES["preference_pairs"]).filter(pl.col("family") == family)
    if pairs.is_empty():
        raise PreferenceExportError(
            f"study {study.study} has no preference pairs of {family} yet; run: advcluster run {study.study} --select"
            " +preference_pairs"
        )
    _check_training(study, pairs)
    _check_held_out(home, study, pairs)
    chosen = selection or study.preferences.selection
    rows = read_table(lake, study, TABLES["preference_selections"]).filter(pl.col("family") == family)
    if chosen not in (available := rows["selection"].unique().sort().to_list()):
        raise PreferenceExportError(f"selection {chosen!r}; allowed: {', '.join(available)}")
    texts = _with_texts(lake, study, family, pairs)
    for name in (chosen, *(("random",) if chosen in _WITH_CONTROL else ())):
        ranked = rows.filter(pl.col("selection") == name).sort("rank")["preference_id"].to_list()
        place = pl.DataFrame({"preference_id": ranked}, schema={"preference_id": pl.String}).with_row_index("place")
        ordered = texts.join(place, on="preference_id", how="left").sort("place", nulls_last=True, maintain_order=True)
        facts = _facts(lake, study, family, name, pairs)
        written = write_preferences(folder / name, ordered, form, thinking, facts, ranked)
        yield PreferenceExport(name, folder / name, written)


def _check_training(study: Study, pairs: pl.DataFrame) -> None:
    exported = pairs.filter("is_exported")
    refused = [name for name in pairs["benchmark"].unique().sort() if not study.may_train(name)]
    if exported.is_empty():
        reasons = ", ".join(f"{name} {n}" for name, n in pairs["reason_left_out"].value_counts(sort=True).iter_rows())
        setting = "i_know" if refused and "gpqa" in refused[0] else "allowed"
        counted = pairs["reason_left_out"].drop_nulls().to_list()
        hints = "".join(f"; {reason}: {advice}" for reason, advice in _ADVICE.items() if reason in counted)
        hint = f"; to allow a benchmark: benchmarks.{refused[0]}.training: {setting}" if refused else ""
        raise PreferenceExportError(
            f"no preference pair of study {study.study} may be exported ({reasons}){hint}{hints}"
        )
    if stale := sorted(set(exported["benchmark"]) & set(refused)):
        raise PreferenceExportError(
            f"study {study.study} no longer allows training on {', '.join(stale)}, for which pairs were drawn; run it"
            " again"
        )


def _check_held_out(home: Home, study: Study, pairs: pl.DataFrame) -> None:
    """Check that no pair to export has a question that the study now holds out.

    Raises:
        PreferenceExportError: a question is held out, or the held-out questions cannot be determined.
    """
    assert study.preferences is not None
    questions = read_table(home.lake, study, TABLES["benchmark_questions"])
    try:
        held_out = held_out_questions(home.root, study.preferences.held_out, questions, tuple(study.domains))
    except HeldOutError as error:
        raise PreferenceExportError(str(error)) from None
    exported = pairs.filter("is_exported")["question_id"].to_list()
    if bad := held_out_faults(questions, exported, held_out):
        raise PreferenceExportError(
            f"question {bad[0]!r} was held out after the pairs were drawn; run study {study.study} again"
        )


def _with_texts(lake: UPath, study: Study, family: str, pairs: pl.DataFrame) -> pl.DataFrame:
    """Add the prompt and both texts to the pairs."""
    prompts = read_table(lake, study, TABLES["benchmark_questions"]).select("question_id", "prompt")
    texts = pairs.join(prompts, on="question_id", how="left", maintain_order="left")
    larger, smaller = (
        read_table(lake, study, TABLES[f"{role}_traces"]).filter(pl.col("family") == family).lazy() for role in ROLES
    )
    traces = stack_traces(larger, smaller, ("question_id", "trial", "response")).collect()
    for side in ("chosen", "rejected"):
        named = traces.rename({"trial": f"{side}_trial", "role": f"{side}_role", "response": side})
        texts = texts.join(
            named, on=["question_id", f"{side}_role", f"{side}_trial"], how="left", maintain_order="left"
        )
    return texts


def _facts(lake: UPath, study: Study, family: str, selection: str, pairs: pl.DataFrame) -> DatasetFacts:
    chosen = study.preferences
    assert chosen is not None
    questions = read_table(lake, study, TABLES["benchmark_questions"])
    used = questions.filter(pl.col("benchmark").is_in(pairs.filter("is_exported")["benchmark"].unique().to_list()))
    sources = used.select("benchmark", "source", "source_revision").unique().sort("benchmark", "source")
    stamp = read_stamp(table_path(lake, study.study, "preference_pairs", Partition(family=family)))
    dumped = chosen.model_dump(mode="json", exclude={"selection", "k", "clusters"})
    settings = {
        name: ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in dumped.items()
        if value not in (None, [])
    }
    ratios = length_ratios(
        pairs, study.statistics.confidence, study.statistics.n_bootstrap, table_rng(study.seed, "length_ratios", family)
    )
    descriptions = {
        "top_delta": f"top_delta: {chosen.dimension}, {chosen.k} pairs",
        "cluster": f"cluster: {', '.join(map(str, chosen.clusters))}",
        "random": f"random control of {chosen.selection}",
    }
    return DatasetFacts(
        study=study.study,
        family=family,
        selection=descriptions.get(selection, selection),
        sources=[SourceFact(*row) for row in sources.iter_rows()],
        models=[ModelFact(role, study.families[family].model_of(role).shown_as) for role in ROLES],
        filters={**settings, "content hash of preference_pairs": stamp.content_hash if stamp else "unknown"},
        length_ratios=ratios,
        delta=chosen.dimension if study.ratings is not None else None,
    )
