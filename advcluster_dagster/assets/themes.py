"""The step that groups clusters (paper section 5): themes, declared themes, patterns shared by families."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED, JUDGE_USABLE
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.ledger.validated import Validated
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingReply
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import estimate_assumed, estimate_chat, estimate_embeddings
from advcluster_dagster.pipeline.providers import model_content
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.report.published_results import published_clusters
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.science.semantic_clustering.corpus import stack_vectors, with_source_keys
from advcluster_dagster.science.semantic_clustering.shared_patterns import (
    FamilyClusters,
    match_patterns,
    nearest_published,
)
from advcluster_dagster.science.semantic_clustering.themes import (
    ClusterCard,
    ThemesReply,
    ThemeVote,
    consolidate_themes,
    parse_themes,
    parse_vote,
    theme_shares,
    themes_messages,
    vote_messages,
)
from advcluster_dagster.science.statistics.resampling import FloatArray, table_rng
from advcluster_dagster.storage.table_files import read_file, table_path
from advcluster_dagster.study.partition import Partition, all_partitions

_GROUP = "themes"
_TABLES = (
    "themes",
    "theme_members",
    "theme_tests",
    "shared_patterns",
    "pattern_matches",
    "published_matches",
)
#: Assumptions of a dry run: clusters per family, reply tokens per grouped cluster, reply tokens per vote.
_CLUSTERS, _USUAL_GROUPED, _USUAL_VOTE = 8, 30, 40


@table_step(
    _GROUP,
    tables=_TABLES,
    kinds=("polars", "llm"),
    reads=("advantage_embeddings",),
    settings=lambda study, _: {
        "summariser": study.judges.summariser.request_identity,
        "embedder": study.judges.embedder.request_identity,
        "themes": study.themes.model_dump(mode="json"),
        "statistics": study.statistics.model_dump(mode="json", include={"confidence", "n_bootstrap"}),
        "published": [cluster.model_dump(mode="json") for cluster in published_clusters(study)],
        "seed": study.seed,
    },
    sources=lambda _home, study, _: model_content(study.judges.embedder),
    prompts=("themes", "theme_vote"),
    checks={"themes": (CALLS_ANSWERED, JUDGE_USABLE)},
    estimate=lambda step: _estimate(step),
)
def themes(
    step: Step,
    final_taxonomy: pl.DataFrame,
    taxonomy_assignments: pl.DataFrame,
    domain_shares: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    benchmark_questions: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Themes over all clusters, tests of declared themes, patterns of several families, published counterparts."""
    tables = {name: pl.DataFrame(schema=TABLES[name].own_schema) for name in _TABLES}
    if final_taxonomy.is_empty():
        step.notes["reason"] = "no family has a taxonomy"
        return tables
    cards = _cards(final_taxonomy, domain_shares)
    tables["themes"], tables["theme_members"] = _themes(step, cards)
    placed = with_source_keys(
        taxonomy_assignments.join(
            advantage_corpus.select("family", "advantage_id", "question_id", "advantage"),
            on=["family", "advantage_id"],
            maintain_order="left",
        ),
        benchmark_questions,
    )
    tables["theme_tests"] = _theme_tests(step, cards, placed)
    definitions = _definition_vectors(step, final_taxonomy)
    tables |= _patterns(step, final_taxonomy, taxonomy_assignments, definitions)
    tables["published_matches"] = _published(step, final_taxonomy, definitions)
    return tables


def _cards(taxonomy: pl.DataFrame, shares: pl.DataFrame) -> list[ClusterCard]:
    by_cluster: dict[tuple[str, int], dict[str, float]] = {}
    for family, cluster, domain, share in shares.select("family", "cluster_id", "domain", "standard_share").iter_rows():
        by_cluster.setdefault((family, cluster), {})[domain] = share or 0.0
    columns = ("family", "cluster_id", "tag", "definition", "size")
    return [
        ClusterCard(
            f"{family}#{cluster}",
            tag or "(not named)",
            text or "(not named)",
            size,
            by_cluster.get((family, cluster), {}),
        )
        for family, cluster, tag, text, size in taxonomy.sort("family", "cluster_id").select(columns).iter_rows()
    ]


def _themes(step: Step, cards: Sequence[ClusterCard]) -> tuple[pl.DataFrame, pl.DataFrame]:
    identifiers = [card.identifier for card in cards]
    requests = _theme_requests(step, cards)
    results = step.models.ask(
        step.study.judges.summariser,
        requests,
        lambda text: parse_themes(text, identifiers),
        step.study.clustering.max_repeats,
    )
    replies = [result.record for result in results if isinstance(result, Validated)]
    if not replies:
        return (pl.DataFrame(schema=TABLES[name].own_schema) for name in ("themes", "theme_members"))  # type: ignore[return-value]
    return consolidate_themes(replies, cards)


def _theme_requests(step: Step, cards: Sequence[ClusterCard]) -> list[ChatRequest]:
    n_repeats = step.study.themes.n_repeats
    messages = [themes_messages(load_prompt("themes"), cards)] * n_repeats
    return step.models.chat(step.study.judges.summariser, messages, range(n_repeats), wire_schema(ThemesReply))


def _theme_tests(step: Step, cards: Sequence[ClusterCard], placed: pl.DataFrame) -> pl.DataFrame:
    """Vote on clusters and on single advantages for every declared theme; empty without declared themes."""
    rows: list[tuple[object, ...]] = []
    settings = step.study.themes
    for name, definition in settings.declared.items():
        theme = f"{name.replace('-', ' ')}: {definition}"
        votes = _votes(step, theme, [f"{card.tag}. {card.definition}" for card in cards], settings.n_votes)
        belongs = {card.identifier: sum(of) * 2 > len(of) for card, of in zip(cards, votes, strict=True) if of}
        for (family,), of_family in placed.group_by("family", maintain_order=True):
            of_clusters = of_family.with_columns(
                belongs=pl.concat_str("family", pl.lit("#"), pl.col("cluster_id").cast(pl.String)).replace_strict(
                    belongs, default=None, return_dtype=pl.Boolean
                )
            ).drop_nulls("belongs")
            rng = table_rng(step.study.seed, "theme_tests", name, str(family))
            n_drawn = min(settings.n_advantages, of_family.height)
            drawn = of_family[sorted(rng.choice(of_family.height, n_drawn, replace=False).tolist())]
            answers = _votes(step, theme, drawn["advantage"].to_list(), 1)
            judged = drawn.with_columns(belongs=pl.Series([of[0] if of else None for of in answers], dtype=pl.Boolean))
            for basis, frame in (("clusters", of_clusters), ("advantages", judged.drop_nulls("belongs"))):
                rows += [
                    (name, family, domain, basis, *rest)
                    for domain, *rest in theme_shares(
                        frame, step.study.statistics.confidence, step.study.statistics.n_bootstrap, rng
                    )
                ]
    return pl.DataFrame(rows, schema=TABLES["theme_tests"].own_schema, orient="row")


def _votes(step: Step, theme: str, texts: Sequence[str], n_votes: int) -> list[list[bool]]:
    """Return the usable votes on each text."""
    requests = _vote_requests(step, theme, texts, n_votes)
    judge, max_repeats = step.study.judges.summariser, step.study.clustering.max_repeats
    results = step.models.ask(judge, requests, parse_vote, max_repeats)
    answers = [result.record.belongs if isinstance(result, Validated) else None for result in results]
    return [
        [vote for vote in answers[start : start + n_votes] if vote is not None]
        for start in range(0, len(answers), n_votes)
    ]


def _vote_requests(step: Step, theme: str, texts: Sequence[str], n_votes: int) -> list[ChatRequest]:
    """Return one request per text and vote, with the votes on a text adjacent."""
    prompt = load_prompt("theme_vote")
    messages = [vote_messages(prompt, theme, text) for text in texts for _ in range(n_votes)]
    trials = [trial for _ in texts for trial in range(n_votes)]
    return step.models.chat(step.study.judges.summariser, messages, trials, wire_schema(ThemeVote))


def _definition_vectors(step: Step, taxonomy: pl.DataFrame) -> dict[tuple[str, int], FloatArray]:
    """Return vectors of "tag. definition" by family and cluster, without clusters that lack a name or a vector."""
    named, texts = _named(taxonomy)
    replies = step.models.embed(step.study.judges.embedder, texts)
    return {
        (family, cluster): np.asarray(reply.vector, dtype=np.float64)
        for (family, cluster), reply in zip(named.select("family", "cluster_id").iter_rows(), replies, strict=True)
        if isinstance(reply, EmbeddingReply)
    }


def _named(taxonomy: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Return the named clusters, and "tag. definition" of each."""
    named = taxonomy.drop_nulls("tag").sort("family", "cluster_id")
    return named, [f"{tag}. {text}" for tag, text in named.select("tag", "definition").iter_rows()]


def _patterns(
    step: Step, taxonomy: pl.DataFrame, assignments: pl.DataFrame, definitions: dict[tuple[str, int], FloatArray]
) -> dict[str, pl.DataFrame]:
    families = list(_families(step, taxonomy, assignments, definitions))
    widths = {family.embeddings.shape[1] for family in families}
    if len(families) < 2 or len(widths) > 1:
        step.notes["patterns"] = (
            "fewer than two families have a taxonomy with named clusters"
            if len(families) < 2
            else "the families' vectors have different lengths and cannot be compared"
        )
        families = []
    patterns, matches = match_patterns(families)
    return {"shared_patterns": patterns, "pattern_matches": matches}


def _families(
    step: Step, taxonomy: pl.DataFrame, assignments: pl.DataFrame, definitions: dict[tuple[str, int], FloatArray]
) -> Iterator[FamilyClusters]:
    """Yield the families in which every cluster has a name and a vector."""
    for family in step.study.families:
        clusters = taxonomy.filter(pl.col("family") == family).sort("cluster_id")
        keys = [(family, cluster) for cluster in clusters["cluster_id"]]
        if not keys or any(key not in definitions for key in keys):
            continue
        vectors = pl.concat(list(_embeddings(step, family)))
        members = assignments.filter(pl.col("family") == family).select("advantage_id", "cluster_id")
        rows = members.join(vectors, on="advantage_id", how="inner", maintain_order="left")
        yield FamilyClusters(
            family,
            clusters["tag"].to_list(),
            stack_vectors(rows["embedding"]).astype(np.float64),
            rows["cluster_id"].to_numpy(),
            np.stack([definitions[key] for key in keys]),
        )


def _embeddings(step: Step, family: str) -> Iterator[pl.DataFrame]:
    """Yield a family's vectors by domain; read here because families may have vectors of different lengths."""
    for partition in all_partitions(step.study, "family_domain"):
        path = table_path(step.home.lake, step.study.study, "advantage_embeddings", Partition(family, partition.domain))
        if partition.family == family and path.exists():
            frame = read_file(path).select("advantage_id", "embedding")
            if frame.height:
                yield frame


def _published(step: Step, taxonomy: pl.DataFrame, definitions: dict[tuple[str, int], FloatArray]) -> pl.DataFrame:
    published = published_clusters(step.study)
    empty = pl.DataFrame(schema=TABLES["published_matches"].own_schema)
    if not published:
        return empty
    texts = [f"{cluster.tag}. {cluster.definition}" for cluster in published]
    replies = step.models.embed(step.study.judges.embedder, texts)
    known = [
        (cluster, reply.vector)
        for cluster, reply in zip(published, replies, strict=True)
        if isinstance(reply, EmbeddingReply)
    ]
    if not known:
        return empty
    vectors = np.stack([np.asarray(vector, dtype=np.float64) for _, vector in known])
    names = [(cluster.family, cluster.cluster_id, cluster.tag) for cluster, _ in known]
    frames = []
    for family in dict.fromkeys(taxonomy["family"].to_list()):
        keys = sorted(key for key in definitions if key[0] == family)
        own = np.stack([definitions[key] for key in keys]) if keys else np.empty((0, vectors.shape[1]))
        matched = nearest_published(family, own, vectors, names)
        frames.append(matched.with_columns(cluster_id=pl.Series([key[1] for key in keys], dtype=pl.Int64)))
    return pl.concat(frames) if frames else empty


def _estimate(step: Step) -> Estimate:
    judge, chosen, n_families = step.study.judges.summariser, step.study.themes, len(step.study.families)
    if step.has_final_inputs and not (taxonomy := step.load("final_taxonomy")).is_empty():
        cards = _cards(taxonomy, step.load("domain_shares"))
        return _estimate_judge(step, cards) + estimate_embeddings(step, step.study.judges.embedder, _named(taxonomy)[1])
    basis = f"{_CLUSTERS} clusters of a family"
    n_clusters = _CLUSTERS * n_families
    calls = estimate_assumed(step, judge, chosen.n_repeats, 120 * n_clusters, _USUAL_GROUPED * n_clusters, basis)
    n_votes = len(chosen.declared) * (n_clusters * chosen.n_votes + n_families * chosen.n_advantages)
    if n_votes:
        calls += estimate_assumed(step, judge, n_votes, 400, _USUAL_VOTE, basis)
    return calls + estimate_assumed(step, step.study.judges.embedder, n_clusters, 100, 0, basis)


def _estimate_judge(step: Step, cards: Sequence[ClusterCard]) -> Estimate:
    """Estimate groupings and votes; single advantages for declared themes are counted, not drawn."""
    judge, chosen = step.study.judges.summariser, step.study.themes
    estimate = estimate_chat(step, judge, _theme_requests(step, cards), _USUAL_GROUPED * len(cards))
    texts = [f"{card.tag}. {card.definition}" for card in cards]
    for name, definition in chosen.declared.items():
        requests = _vote_requests(step, f"{name.replace('-', ' ')}: {definition}", texts, chosen.n_votes)
        estimate += estimate_chat(step, judge, requests, _USUAL_VOTE)
        n_drawn = chosen.n_advantages * len(step.study.families)
        estimate += estimate_assumed(step, judge, n_drawn, 400, _USUAL_VOTE, "single advantages of a declared theme")
    return estimate


STEPS = (themes,)
