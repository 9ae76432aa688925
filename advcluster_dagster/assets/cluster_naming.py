"""Steps of stage 3 (paper section 3.2.3): naming of clusters, review of candidates."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED, JUDGE_USABLE
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.models.protocol import ChatRequest
from advcluster_dagster.pipeline.checks import Check, Outcome
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import at_least_as_now, estimate_assumed, estimate_chat
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.science.semantic_clustering.cluster_samples import nearest_others, select_shown
from advcluster_dagster.science.semantic_clustering.corpus import ClusteringCorpus, gather_corpus
from advcluster_dagster.science.semantic_clustering.messages import named_clusters, naming_messages, review_messages
from advcluster_dagster.science.semantic_clustering.projection import project
from advcluster_dagster.science.semantic_clustering.replies import (
    CandidateReview,
    ClusterName,
    parse_candidate_review,
    parse_cluster_name,
)

_GROUP = "semantic_clustering"
#: Assumptions of a dry run while there are no candidates: their number, and their clusters in total.
_CANDIDATES, _CLUSTERS = 10, 80
#: Assumed tokens of a reply before the model's first reply; the embedded analyst's names are longer than most.
_USUAL_NAME, _EMBEDDED_NAME, _USUAL_REVIEW = 65, 90, 25
#: Descriptions of other clusters that the summariser sees.
_N_OTHERS = 10
_CANDIDATE = ["pca_dim", "n_clusters"]
_CORPUS_TABLES = (
    "advantage_corpus",
    "trace_pairs",
    "analysis_question_set",
    "deduplicated_advantages",
    "advantage_embeddings",
)
_SCORES = ("distinctness", "granularity", "interpretability", "balance", "resolution", "total")


def _tags_unique(_step: Step, summaries: pl.LazyFrame) -> Outcome:
    named = summaries.drop_nulls("tag").select(*_CANDIDATE, pl.col("tag").str.to_lowercase()).collect()
    n_repeated = int(named.is_duplicated().sum())
    return Outcome(n_repeated == 0, {"n_repeated": n_repeated, "n_named": named.height})


@table_step(
    _GROUP,
    kinds=("polars", "llm"),
    settings=lambda study, _: {
        "summariser": study.judges.summariser.request_identity,
        "n_shown": study.clustering.n_shown,
        "max_repeats": study.clustering.max_repeats,
        "seed": study.seed,
    },
    prompts=("naming",),
    checks={
        "cluster_summaries": (
            CALLS_ANSWERED,
            JUDGE_USABLE,
            Check("tags_unique", description="No two clusters of a candidate share a tag.", judge=_tags_unique),
        )
    },
    estimate=lambda step: _estimate_naming(step),
)
def cluster_summaries(
    step: Step,
    cluster_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
) -> pl.DataFrame:
    """Tag and definition of each cluster of the retained candidate clusterings."""
    corpus = gather_corpus(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    clusters = _shown_clusters(step, corpus, cluster_assignments)
    ids = corpus.rows["advantage_id"].to_list()
    requests = _naming_requests(step, corpus, clusters)
    judge, max_repeats = step.study.judges.summariser, step.study.clustering.max_repeats
    names = step.models.ask(judge, requests, parse_cluster_name, max_repeats)
    rows = [
        (
            *cluster.key,
            cluster.size,
            *_tag_and_definition(name),
            [ids[row] for row in cluster.shown],
            [ids[row] for row in cluster.others],
        )
        for cluster, name in zip(clusters, names, strict=True)
    ]
    return pl.DataFrame(rows, schema=_schema("cluster_summaries"), orient="row")


@dataclass(frozen=True)
class _ShownCluster:
    """A candidate's cluster (d', K, cluster_id) and the corpus rows shown to the summariser.

    ``shown`` are rows of the cluster itself, ``others`` the nearest rows of other clusters.
    """

    key: tuple[int, int, int]
    size: int
    shown: list[int]
    others: list[int]


def _shown_clusters(step: Step, corpus: ClusteringCorpus, assignments: pl.DataFrame) -> list[_ShownCluster]:
    domains, ids = corpus.rows["domain"].to_list(), corpus.rows["advantage_id"].to_list()
    n_shown, seed = step.study.clustering.n_shown, step.study.seed
    clusters = []
    for pca_dim in assignments["pca_dim"].unique(maintain_order=True):
        points = project(corpus.embeddings, pca_dim).points.astype("float64")
        of_dim = assignments.filter(pl.col("pca_dim") == pca_dim)
        for (n_clusters,), members in of_dim.group_by("n_clusters", maintain_order=True):
            if members["advantage_id"].to_list() != ids:
                raise StepError("cluster_assignments do not match the current advantages; materialise them first")
            labels = members["cluster_id"].cast(pl.Int32).to_numpy()
            for cluster_id in range(int(str(n_clusters))):
                shown = select_shown(points, labels, cluster_id, domains, ids, n_shown, seed)
                key = (pca_dim, int(str(n_clusters)), cluster_id)
                others = nearest_others(points, labels, cluster_id, _N_OTHERS)
                clusters.append(_ShownCluster(key, int((labels == cluster_id).sum()), shown, others))
    return clusters


def _naming_requests(step: Step, corpus: ClusteringCorpus, clusters: list[_ShownCluster]) -> list[ChatRequest]:
    texts, prompt = corpus.rows["advantage"].to_list(), load_prompt("naming")
    messages = [
        naming_messages(prompt, [texts[row] for row in cluster.shown], [texts[row] for row in cluster.others])
        for cluster in clusters
    ]
    return step.models.chat(step.study.judges.summariser, messages, schema=wire_schema(ClusterName))


def _estimate_naming(step: Step) -> Estimate:
    judge = step.study.judges.summariser
    usual = _EMBEDDED_NAME if judge.provider == "embedded" else _USUAL_NAME
    if step.has_final_inputs:
        corpus = gather_corpus(*(step.load(table) for table in _CORPUS_TABLES))
        clusters = _shown_clusters(step, corpus, step.load("cluster_assignments"))
        return estimate_chat(step, judge, _naming_requests(step, corpus, clusters), usual)
    basis = f"{_CLUSTERS} clusters over all candidates of a family"
    n_clusters, basis = at_least_as_now(step, "cluster_summaries", _CLUSTERS, basis, "clusters of a family")
    return estimate_assumed(step, judge, n_clusters, 3000, usual, basis)


def _estimate_reviews(step: Step) -> Estimate:
    judge, n_reviews = step.study.judges.reviewer, step.study.clustering.n_reviews
    if step.has_final_inputs:
        candidates = step.load("cluster_summaries").group_by(_CANDIDATE, maintain_order=True)
        requests = [request for _, clusters in candidates for request in _review_requests(step, clusters)]
        return estimate_chat(step, judge, requests, _USUAL_REVIEW)
    basis = f"{_CANDIDATES} candidates of a family, {n_reviews} reviews each"
    n_calls, basis = at_least_as_now(step, "candidate_reviews", _CANDIDATES * n_reviews, basis, "reviews of a family")
    return estimate_assumed(step, judge, n_calls, 1500, _USUAL_REVIEW, basis)


def _tag_and_definition(name: object) -> tuple[str | None, str | None]:
    record = getattr(name, "record", None)
    return (record.tag, record.definition) if isinstance(record, ClusterName) else (None, None)


@table_step(
    _GROUP,
    kinds=("polars", "llm"),
    settings=lambda study, _: {
        "reviewer": study.judges.reviewer.request_identity,
        "n_reviews": study.clustering.n_reviews,
        "max_repeats": study.clustering.max_repeats,
    },
    prompts=("review",),
    checks={"candidate_reviews": (CALLS_ANSWERED, JUDGE_USABLE)},
    estimate=lambda step: _estimate_reviews(step),
)
def candidate_reviews(step: Step, cluster_summaries: pl.DataFrame) -> pl.DataFrame:
    """Scores of each review of each retained candidate clustering."""
    judge = step.study.judges.reviewer
    keys, requests = [], []
    for key, clusters in cluster_summaries.group_by(_CANDIDATE, maintain_order=True):
        for review, request in enumerate(_review_requests(step, clusters)):
            keys.append((*key, review))
            requests.append(request)
    replies = step.models.ask(judge, requests, parse_candidate_review, step.study.clustering.max_repeats)
    rows = [(*key, *_scores(reply)) for key, reply in zip(keys, replies, strict=True)]
    return pl.DataFrame(rows, schema=_schema("candidate_reviews"), orient="row")


def _review_requests(step: Step, clusters: pl.DataFrame) -> list[ChatRequest]:
    named = named_clusters(clusters.select("cluster_id", "tag", "definition", "size").iter_rows())
    n_reviews = step.study.clustering.n_reviews
    messages = [review_messages(load_prompt("review"), named)] * n_reviews
    schema = wire_schema(CandidateReview)
    return step.models.chat(step.study.judges.reviewer, messages, range(n_reviews), schema)


def _scores(reply: object) -> Iterator[int | None]:
    record = getattr(reply, "record", None)
    return (getattr(record, name, None) for name in _SCORES)


def _schema(table: str) -> pl.Schema:
    return pl.Schema(TABLES[table].own_schema)


STEPS = (cluster_summaries, candidate_reviews)
