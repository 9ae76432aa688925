"""Name check: a judge assigns advantages to clusters by tag and definition alone.

A tag that a judge cannot apply is no name, however well its cluster is separated.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from advcluster_dagster.contracts.semantic_clustering import NAME_CHECKS
from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    fill_template,
    read_reply,
    unwrap_record,
    validate_record,
)

#: Cluster id of the row over all clusters.
ALL_CLUSTERS = -1


class NameChoice(BaseModel):
    """The group that a judge chose for a description, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""
    group: int


def name_check_messages(
    template: PromptTemplate, groups: Sequence[tuple[int, str, str]], description: str
) -> tuple[Message, Message]:
    """Build the messages that ask which group a description belongs to; groups are (number, tag, definition)."""
    blocks = "\n\n".join(
        f"group: {number}\ntag: {' '.join(tag.split())}\ndefinition: {' '.join(text.split())}"
        for number, tag, text in groups
    )
    return fill_template(template, plain={}, fenced={"groups": blocks, "description": " ".join(description.split())})


def parse_name_choice(text: str, numbers: Sequence[int]) -> NameChoice:
    """Parse a choice.

    Raises:
        ReplyFault: no complete JSON object, or a group that does not exist.
    """

    def read(value: object) -> NameChoice:
        choice = validate_record(NameChoice, value)
        if choice.group not in numbers:
            raise ReplyFault(f"group: {choice.group} is none of {', '.join(map(str, numbers))}")
        return choice

    return read_reply(text, lambda value: unwrap_record(value, NameChoice, read))


def draw_for_name_checks(
    members: pl.DataFrame, shown: set[str], n_drawn: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, bool]:
    """Sample advantages to assign among those not shown to the summariser, or among all if it was shown all.

    Args:
        members: Columns advantage_id, cluster_id, advantage.
        shown: Ids of the advantages shown.
        n_drawn: Maximum number of advantages.
        rng: Random generator.

    Returns:
        The sampled rows in order, and whether they were unseen.
    """
    unseen = members.filter(~pl.col("advantage_id").is_in(list(shown)))
    pool = unseen if unseen.height else members
    rows = sorted(rng.choice(pool.height, min(n_drawn, pool.height), replace=False).tolist()) if pool.height else []
    return pool[rows], bool(unseen.height)


def name_checks(clusters: Sequence[int], choices: Sequence[tuple[int, int]], is_unseen: bool) -> pl.DataFrame:
    """Share of advantages assigned to their own cluster, by cluster and overall, with chance level and Cohen's kappa.

    Args:
        clusters: Cluster ids.
        choices: (cluster of the advantage, chosen cluster), one per usable reply.
        is_unseen: Whether the summariser had not seen these advantages.

    Returns:
        Rows of ``name_checks``; cluster -1 is the overall row. Shares are null without advantages.
    """
    outcomes = [(actual, actual == chosen) for actual, chosen in choices]
    chance = 1 / len(clusters) if clusters else None
    return check_rows("assignment", clusters, outcomes, chance, cohen_kappa(choices), is_unseen)


def check_rows(
    check: str,
    clusters: Sequence[int],
    outcomes: Sequence[tuple[int, bool]],
    chance: float | None,
    kappa: float | None = None,
    is_unseen: bool = False,
) -> pl.DataFrame:
    """Build the rows of ``name_checks`` for one check: overall, then by cluster; empty without clusters.

    Args:
        check: Name of the check.
        clusters: Cluster ids.
        outcomes: (cluster, whether the reply was right), one per usable reply.
        chance: Share expected by chance.
        kappa: Cohen's kappa over all clusters.
        is_unseen: Whether the summariser had not seen the advantages.
    """
    rows = []
    for cluster in (ALL_CLUSTERS, *clusters):
        right = [is_right for actual, is_right in outcomes if cluster in (ALL_CLUSTERS, actual)]
        share = sum(right) / len(right) if right else None
        row_kappa = kappa if cluster == ALL_CLUSTERS else None
        rows.append((check, cluster, len(right), sum(right), share, chance, row_kappa, is_unseen))
    return pl.DataFrame(rows if clusters else [], schema=NAME_CHECKS.own_schema, orient="row")


def cohen_kappa(pairs: Sequence[tuple[object, object]]) -> float | None:
    """Cohen's kappa of two labellings; None without pairs, or if all labels are equal.

    References:
        Cohen (1960), A coefficient of agreement for nominal scales.

    >>> cohen_kappa([("a", "a"), ("b", "b"), ("a", "b"), ("b", "b")])
    0.5
    """
    if not pairs:
        return None
    n = len(pairs)
    labels = {label for pair in pairs for label in pair}
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(sum(a == label for a, _ in pairs) / n * sum(b == label for _, b in pairs) / n for label in labels)
    return None if chance >= 1 else (observed - chance) / (1 - chance)
