"""Intruder test: can a judge identify the one of five descriptions that comes from another cluster?

A cluster whose members are indistinguishable from others has no common skill, whatever its name.

References:
    Chang et al. (2009), Reading tea leaves: how humans interpret topic models.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    fill_template,
    read_reply,
    unwrap_record,
    validate_record,
)
from advcluster_dagster.science.semantic_clustering.name_checks import check_rows

#: Members of the cluster shown together with the intruder.
N_MEMBERS = 4


class IntruderChoice(BaseModel):
    """The description that a judge takes for the intruder, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""
    intruder: int


@dataclass(frozen=True)
class IntruderTask:
    """Descriptions numbered from 0, of which ``texts[intruder]`` belongs to another cluster."""

    cluster_id: int
    texts: tuple[str, ...]
    intruder: int


def draw_intruder_tasks(members: pl.DataFrame, n_tasks: int, rng: np.random.Generator) -> list[IntruderTask]:
    """Sample tasks for each cluster: four different members and one description of another cluster, shuffled.

    Args:
        members: Columns cluster_id, advantage, one row per advantage.
        n_tasks: Tasks per cluster.
        rng: Random generator.

    Returns:
        Tasks sorted by cluster. A cluster with fewer than four distinct texts, or without texts of other clusters, has
        no tasks.
    """
    texts = {
        int(str(cluster)): sorted(set(rows["advantage"]))
        for (cluster,), rows in members.sort("cluster_id").group_by("cluster_id", maintain_order=True)
    }
    tasks = []
    for cluster, cluster_texts in texts.items():
        elsewhere = {text for other, other_texts in texts.items() if other != cluster for text in other_texts}
        others = sorted(elsewhere - set(cluster_texts))
        for _ in range(n_tasks if len(cluster_texts) >= N_MEMBERS and others else 0):
            shown = [cluster_texts[i] for i in rng.choice(len(cluster_texts), N_MEMBERS, replace=False)]
            index = int(rng.integers(N_MEMBERS + 1))
            shown.insert(index, others[int(rng.integers(len(others)))])
            tasks.append(IntruderTask(cluster, tuple(shown), index))
    return tasks


def intruder_messages(template: PromptTemplate, texts: Sequence[str]) -> tuple[Message, Message]:
    """Build the messages that ask which description does not belong with the others."""
    blocks = "\n".join(f"{number}: {' '.join(text.split())}" for number, text in enumerate(texts))
    return fill_template(template, plain={}, fenced={"candidates": blocks})


def parse_intruder(text: str) -> IntruderChoice:
    """Parse a choice.

    Raises:
        ReplyFault: no complete JSON object, or a number out of range.
    """

    def read(value: object) -> IntruderChoice:
        choice = validate_record(IntruderChoice, value)
        if not 0 <= choice.intruder <= N_MEMBERS:
            raise ReplyFault(f"intruder: {choice.intruder} is none of 0 to {N_MEMBERS}")
        return choice

    return read_reply(text, lambda value: unwrap_record(value, IntruderChoice, read))


def intruder_checks(clusters: Sequence[int], outcomes: Sequence[tuple[int, bool]]) -> pl.DataFrame:
    """Share of intruders identified by the judge, by cluster and overall.

    Args:
        clusters: Cluster ids.
        outcomes: (cluster, whether the intruder was identified), one per usable reply.

    Returns:
        Rows of ``name_checks`` for the check ``intruder``; chance is 1/5. Shares are null without replies.
    """
    return check_rows("intruder", clusters, outcomes, 1 / (N_MEMBERS + 1))
