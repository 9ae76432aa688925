"""One worked case per cluster (as paper figure 1): a central member whose quotes occur in both traces."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from advcluster_dagster.contracts.semantic_clustering import WORKED_CASES
from advcluster_dagster.science.quotes import find_passage
from advcluster_dagster.science.statistics.resampling import FloatArray

#: Characters of a trace shown on either side of a quoted passage.
AROUND = 300


@dataclass(frozen=True)
class Excerpt:
    """Part of a trace; the quoted passage is ``text[start:end]``, in code points."""

    text: str
    start: int
    end: int


def excerpt(trace: str, quote: str, around: int = AROUND) -> Excerpt | None:
    """The first occurrence of a quoted passage in a trace with its context; None if it does not occur.

    >>> excerpt("one two three four", "three", around=4)
    Excerpt(text='two three fou', start=4, end=9)
    """
    spans = find_passage(quote, trace).spans if quote else ()
    if not spans:
        return None
    start, end = spans[0]
    first = max(start - around, 0)
    return Excerpt(trace[first : end + around], start - first, end - first)


def nearest_members(members: pl.DataFrame, embeddings: FloatArray) -> pl.DataFrame:
    """Select from each cluster the eligible member nearest to the centroid of all its members.

    Args:
        members: Columns cluster_id, advantage_id, is_eligible, one row per advantage.
        embeddings: One vector per member, shape (n, d).

    Returns:
        Columns cluster_id, advantage_id, sorted by cluster; clusters without an eligible member have no row. Ties are
        broken by advantage_id.
    """
    clusters = members["cluster_id"].to_numpy()
    distances = np.zeros(len(clusters))
    for cluster in np.unique(clusters):
        in_cluster = clusters == cluster
        centre = embeddings[in_cluster].mean(axis=0)
        distances[in_cluster] = np.linalg.norm(embeddings[in_cluster] - centre, axis=1)
    ranked = members.with_columns(distance=pl.Series(distances, dtype=pl.Float64).round(9)).filter("is_eligible")
    return (
        ranked.sort("cluster_id", "distance", "advantage_id")
        .unique("cluster_id", keep="first", maintain_order=True)
        .select("cluster_id", "advantage_id")
    )


def worked_cases(cases: pl.DataFrame) -> pl.DataFrame:
    """Extract both traces' excerpts around the quoted passages.

    Args:
        cases: Columns cluster_id, advantage_id, domain, question_id, question, stage, larger_quote, smaller_quote,
            larger_response, smaller_response; one row per cluster.

    Returns:
        Rows of ``worked_cases``; cases with a passage that does not occur in its trace are omitted.
    """
    names = ("cluster_id", "advantage_id", "domain", "question_id", "question", "stage")
    rows = []
    for case in cases.iter_rows(named=True):
        larger, smaller = (
            excerpt(case[f"{role}_response"] or "", case[f"{role}_quote"] or "") for role in ("larger", "smaller")
        )
        if larger is not None and smaller is not None:
            marks = (larger.text, larger.start, larger.end, smaller.text, smaller.start, smaller.end)
            rows.append((*(case[name] for name in names), *marks))
    return pl.DataFrame(rows, schema=WORKED_CASES.own_schema, orient="row")
