"""Messages to the summariser and the reviewer (paper section 3.2.3, appendices A.2.2 and A.2.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from advcluster_dagster.science.prompting import Message, PromptTemplate, fill_template


@dataclass(frozen=True)
class NamedCluster:
    """A cluster as shown to the reviewer; ``size`` is the number of its descriptions."""

    cluster_id: int
    tag: str
    definition: str
    size: int


def named_clusters(rows: Iterable[tuple[int, str | None, str | None, int]]) -> list[NamedCluster]:
    """Build clusters from (cluster_id, tag, definition, size); missing names become "(not named)"."""
    return [NamedCluster(number, tag or "(not named)", text or "(not named)", size) for number, tag, text, size in rows]


def naming_messages(
    template: PromptTemplate, descriptions: Sequence[str], others: Sequence[str]
) -> tuple[Message, Message]:
    """Build the messages that ask for a tag and a definition of the cluster with these descriptions, one per bullet.

    ``others`` are the nearest descriptions of other clusters, so that the name distinguishes the cluster from them.
    """
    fenced = {"descriptions": _bullets(descriptions), "others": _bullets(others)}
    return fill_template(template, plain={}, fenced=fenced)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_on_one_line(text)}" for text in texts)


def review_messages(template: PromptTemplate, clusters: Sequence[NamedCluster]) -> tuple[Message, Message]:
    """Build the messages that ask for five scores of the candidate taxonomy with these clusters."""
    blocks = "\n\n".join(
        f"id: {cluster.cluster_id}\ntag: {_on_one_line(cluster.tag)}\n"
        f"definition: {_on_one_line(cluster.definition)}\ncount: {cluster.size}"
        for cluster in clusters
    )
    return fill_template(template, plain={"n_clusters": str(len(clusters))}, fenced={"clusters": blocks})


def _on_one_line(text: str) -> str:
    """Remove line breaks from model-written text, so that it cannot mimic another bullet or cluster."""
    return " ".join(text.split())
