"""The step that tests whether the taxonomy's names can be applied, and its sensitivity to settings."""

import polars as pl

from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED, JUDGE_USABLE
from advcluster_dagster.ledger.validated import Validated
from advcluster_dagster.models.protocol import ChatRequest
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import estimate_assumed, estimate_chat
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.science.semantic_clustering.corpus import gather_corpus
from advcluster_dagster.science.semantic_clustering.intruders import (
    IntruderChoice,
    IntruderTask,
    draw_intruder_tasks,
    intruder_checks,
    intruder_messages,
    parse_intruder,
)
from advcluster_dagster.science.semantic_clustering.name_checks import (
    NameChoice,
    draw_for_name_checks,
    name_check_messages,
    parse_name_choice,
)
from advcluster_dagster.science.semantic_clustering.name_checks import name_checks as measure_names
from advcluster_dagster.science.semantic_clustering.sensitivities import AllDescriptions, sensitivities
from advcluster_dagster.science.statistics.resampling import table_rng

_GROUP = "semantic_clustering"
_CANDIDATE = ["pca_dim", "n_clusters"]
#: Assumed tokens of a reply before the model's first.
_USUAL_CHOICE = 25
#: Clusters that a dry run assumes while there is no taxonomy.
_CLUSTERS = 8


@table_step(
    _GROUP,
    tables=("name_checks", "sensitivities"),
    kinds=("polars", "llm", "scikitlearn"),
    settings=lambda study, _: {
        "reviewer": study.judges.reviewer.request_identity,
        "n_name_checks": study.clustering.n_name_checks,
        "n_intruders": study.clustering.n_intruders,
        "min_gap": study.question_set.min_gap,
        "threshold": study.deduplication.threshold,
        "seed": study.seed,
    },
    prompts=("name_check", "intruder"),
    checks={"name_checks": (CALLS_ANSWERED, JUDGE_USABLE)},
    estimate=lambda step: _estimate_name_checks(step),
)
def name_checks(
    step: Step,
    final_taxonomy: pl.DataFrame,
    cluster_summaries: pl.DataFrame,
    cluster_assignments: pl.DataFrame,
    advantage_corpus: pl.DataFrame,
    trace_pairs: pl.DataFrame,
    analysis_question_set: pl.DataFrame,
    deduplicated_advantages: pl.DataFrame,
    advantage_embeddings: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Tests of whether the names can be applied, and of whether other settings would give other clusters."""
    drawn, groups, is_unseen = _drawn_for_name_checks(
        step, final_taxonomy, cluster_summaries, cluster_assignments, advantage_corpus
    )
    numbers = [number for number, _, _ in groups]
    results = step.models.ask(
        step.study.judges.reviewer,
        _name_check_requests(step, drawn, groups),
        lambda text: parse_name_choice(text, numbers),
        step.study.clustering.max_repeats,
    )
    choices = [
        (own, result.record.group)
        for own, result in zip(drawn["cluster_id"], results, strict=True)
        if isinstance(result, Validated)
    ]
    described = _all_descriptions(
        advantage_corpus, trace_pairs, analysis_question_set, deduplicated_advantages, advantage_embeddings
    )
    chosen = _members(final_taxonomy, cluster_assignments)
    pca_dim = int(final_taxonomy["pca_dim"][0]) if final_taxonomy.height else 1
    return {
        "name_checks": pl.concat(
            [measure_names(numbers, choices, is_unseen), _intruders(step, numbers, chosen, advantage_corpus)]
        ),
        "sensitivities": sensitivities(
            described,
            dict(chosen.select("advantage_id", "cluster_id").iter_rows()),
            pca_dim,
            step.study.question_set.min_gap,
            step.study.deduplication.threshold,
            step.study.seed,
        ),
    }


def _intruders(step: Step, numbers: list[int], chosen: pl.DataFrame, corpus: pl.DataFrame) -> pl.DataFrame:
    """Run the intruder test: which of five advantages belongs to another cluster?"""
    tasks = _intruder_tasks(step, chosen, corpus)
    results = step.models.ask(
        step.study.judges.reviewer, _intruder_requests(step, tasks), parse_intruder, step.study.clustering.max_repeats
    )
    outcomes = [
        (task.cluster_id, result.record.intruder == task.intruder)
        for task, result in zip(tasks, results, strict=True)
        if isinstance(result, Validated)
    ]
    return intruder_checks(numbers, outcomes)


def _intruder_tasks(step: Step, chosen: pl.DataFrame, corpus: pl.DataFrame) -> list[IntruderTask]:
    members = chosen.join(corpus.select("advantage_id", "advantage"), on="advantage_id", maintain_order="left")
    rng = table_rng(step.study.seed, "intruders", step.family)
    return draw_intruder_tasks(members, step.study.clustering.n_intruders, rng)


def _intruder_requests(step: Step, tasks: list[IntruderTask]) -> list[ChatRequest]:
    messages = [intruder_messages(load_prompt("intruder"), task.texts) for task in tasks]
    return step.models.chat(step.study.judges.reviewer, messages, schema=wire_schema(IntruderChoice))


def _members(taxonomy: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    chosen = taxonomy.select(_CANDIDATE).unique()
    return assignments.join(chosen, on=_CANDIDATE, how="semi", maintain_order="left")


def _drawn_for_name_checks(
    step: Step, taxonomy: pl.DataFrame, summaries: pl.DataFrame, assignments: pl.DataFrame, corpus: pl.DataFrame
) -> tuple[pl.DataFrame, list[tuple[int, str, str]], bool]:
    """Return the advantages to assign, the named clusters, and whether these advantages are new to the summariser."""
    members = _members(taxonomy, assignments).join(
        corpus.select("advantage_id", "advantage"), on="advantage_id", maintain_order="left"
    )
    shown = summaries.join(taxonomy.select(_CANDIDATE).unique(), on=_CANDIDATE, how="semi")["shown_ids"]
    groups = list(taxonomy.drop_nulls("tag").select("cluster_id", "tag", "definition").iter_rows())
    rng = table_rng(step.study.seed, "name_checks", step.family)
    drawn, is_unseen = draw_for_name_checks(
        members, {name for of_cluster in shown for name in of_cluster}, step.study.clustering.n_name_checks, rng
    )
    return drawn if len(groups) > 1 else drawn.clear(), groups, is_unseen


def _name_check_requests(step: Step, drawn: pl.DataFrame, groups: list[tuple[int, str, str]]) -> list[ChatRequest]:
    messages = [name_check_messages(load_prompt("name_check"), groups, text) for text in drawn["advantage"]]
    return step.models.chat(step.study.judges.reviewer, messages, schema=wire_schema(NameChoice))


def _estimate_name_checks(step: Step) -> Estimate:
    judge, n_checks = step.study.judges.reviewer, step.study.clustering.n_name_checks
    if step.has_final_inputs:
        tables = ("final_taxonomy", "cluster_summaries", "cluster_assignments", "advantage_corpus")
        drawn, groups, _ = _drawn_for_name_checks(step, *(step.load(name) for name in tables))
        chosen = _members(step.load("final_taxonomy"), step.load("cluster_assignments"))
        tasks = _intruder_tasks(step, chosen, step.load("advantage_corpus"))
        requests = [*_name_check_requests(step, drawn, groups), *_intruder_requests(step, tasks)]
        return estimate_chat(step, judge, requests, _USUAL_CHOICE)
    n_sets = _CLUSTERS * step.study.clustering.n_intruders
    basis = f"{n_checks} advantages and {n_sets} sets of five of a family"
    return estimate_assumed(step, judge, n_checks + n_sets, 600, _USUAL_CHOICE, basis)


def _all_descriptions(
    corpus: pl.DataFrame,
    pairs: pl.DataFrame,
    questions: pl.DataFrame,
    deduplicated: pl.DataFrame,
    embeddings: pl.DataFrame,
) -> AllDescriptions:
    """Return every description that has a vector, in canonical order."""
    described = gather_corpus(corpus, pairs, questions, deduplicated.with_columns(is_kept=pl.lit(True)), embeddings)
    keys = ["domain", "question_id"]
    rows = described.rows.join(
        questions.select(*keys, "pass_rate_gap"), on=keys, how="left", maintain_order="left"
    ).join(deduplicated.select("advantage_id", "is_kept"), on="advantage_id", how="left", maintain_order="left")
    return AllDescriptions(rows, described.embeddings)


STEPS = (name_checks,)
