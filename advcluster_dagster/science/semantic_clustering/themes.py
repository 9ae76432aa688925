"""Themes of clusters: proposed by repeated judgements, and tested if a study declares them in advance.

Paper section 5 groups clusters manually under patterns such as Constraint-Guided Reasoning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from advcluster_dagster.contracts.themes import THEME_MEMBERS, THEMES
from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    fill_template,
    read_reply,
    unwrap_record,
    validate_record,
)
from advcluster_dagster.science.statistics.resampling import (
    MIN_KEYS,
    bootstrap_weights,
    codes_of,
    percentile_interval,
)

#: Share of the repeats in which two clusters must be grouped together to share a theme.
_TOGETHER = 0.5


class ProposedTheme(BaseModel):
    """A theme as a reply gives it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    clusters: list[str] = Field(min_length=1)


class ThemesReply(BaseModel):
    """Themes of one repeat, and the clusters that fit none."""

    model_config = ConfigDict(extra="forbid")

    themes: list[ProposedTheme]
    none: list[str] = Field(default_factory=list)


class ThemeVote(BaseModel):
    """Whether a description belongs to a declared theme, and the phrase that decides it."""

    model_config = ConfigDict(extra="forbid")

    phrase: str = ""
    belongs: bool


@dataclass(frozen=True)
class ClusterCard:
    """A cluster as shown to a judge: id (``FAMILY#CLUSTER``), tag, definition, size, shares by domain in [0, 1]."""

    identifier: str
    tag: str
    definition: str
    size: int
    shares: dict[str, float]


def themes_messages(template: PromptTemplate, clusters: Sequence[ClusterCard]) -> tuple[Message, Message]:
    """Build the messages that ask for themes over all clusters of a study."""
    blocks = "\n\n".join(
        f"id: {card.identifier}\ntag: {_on_one_line(card.tag)}\ndefinition: {_on_one_line(card.definition)}\n"
        f"descriptions: {card.size}\nsubjects: "
        + ", ".join(f"{domain} {100 * share:.0f} %" for domain, share in card.shares.items())
        for card in clusters
    )
    return fill_template(template, plain={}, fenced={"theme_clusters": blocks})


def vote_messages(template: PromptTemplate, theme: str, description: str) -> tuple[Message, Message]:
    """Build the messages that ask whether a description belongs to a theme, given as ``name: definition``."""
    fenced = {"theme": _on_one_line(theme), "description": _on_one_line(description)}
    return fill_template(template, plain={}, fenced=fenced)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def parse_themes(text: str, identifiers: Sequence[str]) -> ThemesReply:
    """Parse a reply; every id must occur exactly once.

    Raises:
        ReplyFault: no complete JSON object, an unknown id, or an id that is repeated or missing.
    """

    def read(value: Any) -> ThemesReply:
        reply = validate_record(ThemesReply, value)
        mentioned = [name for theme in reply.themes for name in theme.clusters] + reply.none
        if unknown := sorted(set(mentioned) - set(identifiers)):
            raise ReplyFault(f"clusters: unknown id {unknown[0]!r}")
        if wrong := [name for name in identifiers if mentioned.count(name) != 1]:
            raise ReplyFault(f"clusters: id {wrong[0]!r} stands {mentioned.count(wrong[0])} times, not once")
        return reply

    return read_reply(text, lambda value: unwrap_record(value, ThemesReply, read))


def parse_vote(text: str) -> ThemeVote:
    """Parse a vote.

    Raises:
        ReplyFault: no complete JSON object with a boolean vote.
    """
    return read_reply(text, lambda value: unwrap_record(value, ThemeVote, lambda v: validate_record(ThemeVote, v)))


def consolidate_themes(
    replies: Sequence[ThemesReply], clusters: Sequence[ClusterCard]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Consolidate repeats by average linkage over the share of repeats that group two clusters, cut at one half.

    A cluster that has no theme in more than half of the repeats has none. Names come from the repeat that agrees best
    with the others.

    Args:
        replies: One reply per repeat, at least one.
        clusters: All clusters, in order.

    Returns:
        Rows of ``themes`` and of ``theme_members``.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    labels = np.array([_labels(reply, clusters) for reply in replies])
    together = np.mean([(row[:, None] == row[None, :]) & (row >= 0)[:, None] for row in labels], axis=0)
    np.fill_diagonal(together, 1.0)
    in_none = (labels < 0).mean(axis=0) > _TOGETHER
    groups = np.zeros(len(clusters), dtype=np.int64)
    if len(clusters) > 1:
        groups = fcluster(linkage(squareform(1 - together, checks=False), "average"), _TOGETHER, "distance")
    agreements = _pairwise_agreement(labels)
    best = replies[int(np.argmax(agreements.mean(axis=1)))]
    themes: list[tuple[int, str, str, int, int, float | None]] = []
    members: list[tuple[str, int, int | None, float]] = []
    for group in dict.fromkeys(groups[~in_none].tolist()):
        inside = [i for i in range(len(clusters)) if groups[i] == group and not in_none[i]]
        theme = _best_theme(best, [clusters[i].identifier for i in inside])
        sizes = sum(clusters[i].size for i in inside)
        number = len(themes)
        themes.append((number, theme.name, theme.definition, len(inside), sizes, _mean_agreement(agreements)))
        for i in inside:
            others = [j for j in inside if j != i]
            support = float(together[i, others].mean()) if others else float((labels[:, i] >= 0).mean())
            members.append((*_split(clusters[i].identifier), number, support))
    members += [
        (*_split(clusters[i].identifier), None, float((labels[:, i] < 0).mean()))
        for i in range(len(clusters))
        if in_none[i]
    ]
    return (
        pl.DataFrame(themes, schema=THEMES.own_schema, orient="row"),
        pl.DataFrame(members, schema=THEME_MEMBERS.own_schema, orient="row").sort("family", "cluster_id"),
    )


def _labels(reply: ThemesReply, clusters: Sequence[ClusterCard]) -> list[int]:
    theme_of = {name: number for number, theme in enumerate(reply.themes) for name in theme.clusters}
    return [theme_of.get(card.identifier, -1) for card in clusters]


def _pairwise_agreement(labels: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Adjusted Rand index of every pair of repeats; clusters without a theme form one group."""
    from sklearn.metrics import adjusted_rand_score

    return np.array([[float(adjusted_rand_score(a, b)) for b in labels] for a in labels])


def _mean_agreement(agreements: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    n = len(agreements)
    return float((agreements.sum() - n) / (n * (n - 1))) if n > 1 else None


def _best_theme(reply: ThemesReply, identifiers: Sequence[str]) -> ProposedTheme:
    """The theme of a repeat that contains most of the given clusters."""
    counts = [len(set(theme.clusters) & set(identifiers)) for theme in reply.themes]
    if not counts or not max(counts):
        return ProposedTheme(name="(no common name)", definition="The repeats agree on no name.", clusters=["-"])
    return reply.themes[counts.index(max(counts))]


def _split(identifier: str) -> tuple[str, int]:
    family, _, cluster = identifier.rpartition("#")
    return family, int(cluster)


def theme_shares(
    placed: pl.DataFrame, confidence: float, n_bootstrap: int, rng: np.random.Generator
) -> list[tuple[str, int, int, float, float | None, float | None, int]]:
    """Share of advantages that belong to a theme, by domain and overall, with a bootstrap interval over source keys.

    Args:
        placed: Columns domain, source_key, belongs (bool), one row per advantage.
        confidence: Confidence level of the interval.
        n_bootstrap: Number of replicates.
        rng: Random generator.

    Returns:
        Tuples (domain, n_advantages, n_belonging, share, low, high, n_keys); empty without advantages.
    """
    rows = []
    parts = [(str(domain), part) for (domain,), part in placed.group_by("domain", maintain_order=True)]
    for domain, part in [*parts, *([("all", placed)] if parts else [])]:
        keys = codes_of(list(part.select("domain", "source_key").iter_rows()))
        belongs = part["belongs"].to_numpy().astype(np.float64)
        n_keys, low, high = int(keys.max()) + 1, None, None
        if n_keys >= MIN_KEYS:
            strata = part["domain"].to_numpy()[np.unique(keys, return_index=True)[1]]
            weights = bootstrap_weights(strata, n_bootstrap, rng)
            sizes, hits = np.bincount(keys), np.bincount(keys, belongs)
            low, high = percentile_interval((weights @ hits) / (weights @ sizes), confidence)
        rows.append((domain, part.height, int(belongs.sum()), float(belongs.mean()), low, high, n_keys))
    return rows
