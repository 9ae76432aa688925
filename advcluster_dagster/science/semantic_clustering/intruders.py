"""Intruder test: can a judge tell which of five descriptions comes from another cluster?

A cluster whose members a reader cannot tell from others holds no common skill, whatever its name says.

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

#: Members of the cluster that are shown beside the intruder.
N_MEMBERS = 4


class IntruderChoice(BaseModel):
    """The description that a judge takes for the intruder, and why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = ""
    intruder: int


@dataclass(frozen=True)
class IntruderTask:
    """Descriptions numbered from 0, of which ``texts[intruder]`` is of another cluster."""

    cluster_id: int
    texts: tuple[str, ...]
    intruder: int


def draw_intruder_tasks(members: pl.DataFrame, n_tasks: int, rng: np.random.Generator) -> list[IntruderTask]:
    """Tasks of each cluster: four different members, one description of another cluster, in random order.

    Args:
        members: cluster_id, advantage; each advantage once.
        n_tasks: tasks a cluster.
        rng: source of random numbers.

    Returns:
        Clusters by number. One of fewer than four different texts, or beside which there is no other text, has none.
    """
    texts = {
        int(str(cluster)): sorted(set(rows["advantage"]))
        for (cluster,), rows in members.sort("cluster_id").group_by("cluster_id", maintain_order=True)
    }
    tasks = []
    for cluster, own in texts.items():
        others = sorted({text for other, of in texts.items() if other != cluster for text in of} - set(own))
        for _ in range(n_tasks if len(own) >= N_MEMBERS and others else 0):
            shown = [own[i] for i in rng.choice(len(own), N_MEMBERS, replace=False)]
            place = int(rng.integers(N_MEMBERS + 1))
            shown.insert(place, others[int(rng.integers(len(others)))])
            tasks.append(IntruderTask(cluster, tuple(shown), place))
    return tasks


def intruder_messages(template: PromptTemplate, texts: Sequence[str]) -> tuple[Message, Message]:
    """Ask which description does not belong with the others."""
    blocks = "\n".join(f"{number}: {' '.join(text.split())}" for number, text in enumerate(texts))
    return fill_template(template, plain={}, fenced={"candidates": blocks})


def parse_intruder(text: str) -> IntruderChoice:
    """Read a choice.

    Raises:
        ReplyFault: no complete JSON object, or a number that was not shown.
    """

    def read(value: object) -> IntruderChoice:
        choice = validate_record(IntruderChoice, value)
        if not 0 <= choice.intruder <= N_MEMBERS:
            raise ReplyFault(f"intruder: {choice.intruder} is none of 0 to {N_MEMBERS}")
        return choice

    return read_reply(text, lambda value: unwrap_record(value, IntruderChoice, read))


def intruder_checks(clusters: Sequence[int], outcomes: Sequence[tuple[int, bool]]) -> pl.DataFrame:
    """Share of intruders that the judge named, by cluster and over all.

    Args:
        clusters: numbers of the clusters.
        outcomes: (cluster, whether the intruder was named), one a usable reply.

    Returns:
        Rows of ``name_checks`` of the check ``intruder``; chance is 1/5. Shares are null without replies.
    """
    return check_rows("intruder", clusters, outcomes, 1 / (N_MEMBERS + 1))
