"""Messages to the summariser and the reviewer (paper section 3.2.3, appendices A.2.2 and A.2.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from advcluster_dagster.science.prompting import Message, PromptTemplate, fill_template


@dataclass(frozen=True)
class NamedCluster:
    """A cluster as the reviewer sees it; ``size`` counts its descriptions."""

    cluster_id: int
    tag: str
    definition: str
    size: int


def named_clusters(rows: Iterable[tuple[int, str | None, str | None, int]]) -> list[NamedCluster]:
    """Clusters from (cluster_id, tag, definition, size); a cluster whose naming failed says so."""
    return [NamedCluster(number, tag or "(not named)", text or "(not named)", size) for number, tag, text, size in rows]


def naming_messages(
    template: PromptTemplate, descriptions: Sequence[str], others: Sequence[str]
) -> tuple[Message, Message]:
    """Ask for a tag and a definition of the cluster that holds these descriptions, one bullet each.

    ``others`` are the descriptions of other clusters that come nearest to it, so that the name sets it apart.
    """
    fenced = {"descriptions": _bullets(descriptions), "others": _bullets(others)}
    return fill_template(template, plain={}, fenced=fenced)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_on_one_line(text)}" for text in texts)


def review_messages(template: PromptTemplate, clusters: Sequence[NamedCluster]) -> tuple[Message, Message]:
    """Ask for five scores of the candidate taxonomy made of these clusters."""
    blocks = "\n\n".join(
        f"id: {cluster.cluster_id}\ntag: {_on_one_line(cluster.tag)}\n"
        f"definition: {_on_one_line(cluster.definition)}\ncount: {cluster.size}"
        for cluster in clusters
    )
    return fill_template(template, plain={"n_clusters": str(len(clusters))}, fenced={"clusters": blocks})


def _on_one_line(text: str) -> str:
    """Model-written text without line breaks, so that it cannot pass for another bullet or another cluster."""
    return " ".join(text.split())
