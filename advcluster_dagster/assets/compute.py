"""Steps of accuracy against compute: costs of traces, and accuracy by number of samples and token limit."""

import hashlib
import json
from pathlib import Path

import polars as pl

from advcluster_dagster.contracts.columns import ROLES
from advcluster_dagster.ledger.prices import load_prices
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.step import Step, StepError
from advcluster_dagster.science.compute.budget_curves import budget_curves as measure_curves
from advcluster_dagster.science.compute.budget_matches import budget_matches
from advcluster_dagster.science.compute.compute_summaries import compute_summaries
from advcluster_dagster.science.compute.model_shapes import ModelShape, known_shape, shape_from_config
from advcluster_dagster.science.compute.trace_costs import trace_costs as measure_costs
from advcluster_dagster.science.compute.trace_costs import with_estimated_tokens
from advcluster_dagster.science.question_set.paired_accuracies import task_format
from advcluster_dagster.science.question_set.repeated_sampling import sample_sizes
from advcluster_dagster.science.statistics.resampling import table_rng
from advcluster_dagster.science.traces import stack_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.compute import Compute
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_GROUP = "compute"
_TOKENS = ("question_id", "trial", "response", "prompt_tokens", "completion_tokens")


def _chosen(study: Study) -> Compute:
    assert study.compute is not None  # the steps are made for studies with that section alone
    return study.compute


def _config_file(home: Home, study: Study, model: Model) -> Path | None:
    """Return the config.json with a model's layers; None if the study gives them or there is no such file."""
    shape = _chosen(study).shapes.get(model.model)
    if shape is not None:
        return home.root / shape.config if shape.config is not None else None
    file = Path(model.model) / "config.json"
    return file if len(model.model) < 250 and file.is_file() else None


def _sources(home: Home, study: Study, partition: Partition) -> dict[str, object]:
    """Return prices of the family's models, and hashes of the configurations with their layers."""
    prices, facts = load_prices(home.prices).models, dict[str, object]()
    for role in ROLES:
        model = study.families[str(partition.family)].model_of(role)
        file, price = _config_file(home, study, model), prices.get(model.model)
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file is not None and file.is_file() else None
        facts[role] = [digest, None if price is None else [price.prompt, price.completion]]
    return facts


def _settings(study: Study, partition: Partition) -> dict[str, object]:
    models = study.families[str(partition.family)]
    compute = _chosen(study)
    shapes = {role: compute.shapes.get(models.model_of(role).model) for role in ROLES}
    return {
        "models": {role: models.model_of(role).model for role in ROLES},
        "estimates_tokens": compute.estimates_tokens,
        "shapes": {role: shape.model_dump() if shape else None for role, shape in shapes.items()},
    }


def _family_settings(study: Study, partition: Partition) -> dict[str, object]:
    return {
        **_settings(study, partition),
        "trials": study.trials,
        "seed": study.seed,
        **study.statistics.model_dump(mode="json", include={"confidence", "n_bootstrap", "pass_at_k"}),
    }


def _shape_of(step: Step, model: Model) -> ModelShape | None:
    """Return a model's layers from the study, a known model or its folder; None if unknown.

    Raises:
        StepError: a configuration is missing or not supported.
    """
    file = _config_file(step.home, step.study, model)
    shape = _chosen(step.study).shapes.get(model.model)
    try:
        if file is not None:
            return shape_from_config(json.loads(file.read_text(encoding="utf-8")))
        return known_shape(model.model) if shape is None else ModelShape(**shape.model_dump(exclude={"config"}))
    except (OSError, ValueError) as error:
        where = file if file is not None else f"layers of {model.model}"
        raise StepError(f"{where}: {error}; correct compute.shapes in the study file") from None


def _shapes_and_prices(step: Step) -> tuple[dict[str, ModelShape | None], dict[str, tuple[float, float] | None]]:
    """Return shapes and prices by role; imported traces are priced by the model's name."""
    models = {role: step.study.families[step.family].model_of(role) for role in ROLES}
    listed = {role: load_prices(step.home.prices).models.get(model.model) for role, model in models.items()}
    prices: dict[str, tuple[float, float] | None] = {
        role: None if price is None or price.completion is None else (price.prompt, price.completion)
        for role, price in listed.items()
    }
    return {role: _shape_of(step, model) for role, model in models.items()}, prices


@table_step(_GROUP, settings=_settings, sources=_sources)
def trace_costs(
    step: Step,
    graded_trials: pl.DataFrame,
    larger_traces: pl.LazyFrame,
    smaller_traces: pl.LazyFrame,
    benchmark_questions: pl.DataFrame,
) -> pl.DataFrame:
    """Tokens, FLOPs and cost of every trial of both models."""
    shapes, prices = _shapes_and_prices(step)
    tokens = stack_traces(larger_traces, smaller_traces, _TOKENS).collect()
    keys = ["question_id", "role", "trial"]
    trials = graded_trials.join(tokens, on=keys, how="left", maintain_order="left")
    if _chosen(step.study).estimates_tokens:
        prompts = benchmark_questions.select("question_id", "prompt")
        trials = with_estimated_tokens(trials.join(prompts, on="question_id", how="left", maintain_order="left"))
        step.facts["n_estimated"] = int(trials["is_estimated"].sum())
    step.facts["has_shape"] = {role: shape is not None for role, shape in shapes.items()}
    step.facts["n_without_tokens"] = trials["completion_tokens"].null_count()
    return measure_costs(trials, shapes, prices)


@table_step(
    _GROUP,
    tables=("compute_summaries", "budget_curves", "budget_matches"),
    settings=_family_settings,
    sources=_sources,
)
def budget_curves(
    step: Step, trace_costs: pl.DataFrame, graded_trials: pl.DataFrame, benchmark_questions: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Length and cost by outcome, accuracy of samples, votes and limits, and when the smaller model suffices."""
    shapes, prices = _shapes_and_prices(step)
    statistics, keys = step.study.statistics, ["domain", "question_id"]
    questions = benchmark_questions.select(*keys, "source_key", "answer_type", task_format=task_format("answer_type"))
    costs = trace_costs.join(questions, on=keys, how="left", maintain_order="left")
    answers = graded_trials.select("domain", "question_id", "role", "trial", "prediction", "verdict")
    trials = costs.join(answers, on=[*keys, "role", "trial"], how="left", maintain_order="left")
    sizes = sample_sizes(step.study.trials, statistics.pass_at_k)
    curves = measure_curves(trials, shapes, prices, sizes, statistics.confidence, step.study.seed)
    rng = table_rng(step.study.seed, "compute_summaries", step.family)
    return {
        "compute_summaries": compute_summaries(costs, statistics.confidence, statistics.n_bootstrap, rng),
        "budget_curves": curves,
        "budget_matches": budget_matches(curves),
    }


STEPS = (
    trace_costs,
    budget_curves,
)
