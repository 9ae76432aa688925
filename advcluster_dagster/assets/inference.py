"""Steps of inference (paper section 4.1): the questions, and the traces of both models."""

from typing import Any

import polars as pl

from advcluster_dagster.assets.failed_calls import CALLS_ANSWERED
from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.contracts.registry import TABLES
from advcluster_dagster.models.protocol import ChatRequest
from advcluster_dagster.models.trace_answers import answer_columns
from advcluster_dagster.pipeline.declare import table_step
from advcluster_dagster.pipeline.estimates import assumed_questions, estimate_assumed, estimate_chat
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.pipeline.step import Step
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.sources.benchmarks.registry import benchmark_provenance, load_questions
from advcluster_dagster.sources.imports.readers import import_provenance, scan_imported_traces
from advcluster_dagster.storage.home import Home
from advcluster_dagster.study.partition import Partition
from advcluster_dagster.study.study import Study

_GROUP = "inference"
#: Assumed tokens of a trace before the model's first: reasoning models use thousands, the simulated ones 94.
_USUAL_TRACE, _SIMULATED_TRACE = 4000, 94


def _question_sources(study: Study, partition: Partition) -> dict[str, str]:
    return {name: study.benchmark(name).source for name in study.domains[partition.domain or ""]}


@table_step(
    _GROUP,
    settings=_question_sources,
    sources=lambda home, study, partition: benchmark_provenance(home, study, partition.domain or ""),
)
def benchmark_questions(step: Step) -> pl.DataFrame:
    """Questions of the domain's benchmarks."""
    warnings: list[str] = []
    questions = load_questions(step.home, step.study, step.domain, warnings)
    step.facts |= {"provenance": benchmark_provenance(step.home, step.study, step.domain), "warnings": warnings}
    return questions


def _inference_settings(role: Role) -> Any:
    def read(study: Study, partition: Partition) -> Any:
        model = study.families[partition.family or ""].model_of(role)
        return {"trials": study.trials, "seed": study.seed, "model": model.request_identity}

    return read


def _trace_sources(role: Role) -> Any:
    def read(home: Home, study: Study, partition: Partition) -> Any:
        assert partition.family is not None
        assert partition.domain is not None
        if study.families[partition.family].model_of(role).provider != "imported":
            return None
        return import_provenance(home.imports, study, partition.domain, partition.family, role)

    return read


@table_step(
    _GROUP,
    settings=_inference_settings("larger"),
    sources=_trace_sources("larger"),
    checks={"larger_traces": (CALLS_ANSWERED,)},
    estimate=lambda step: _estimate(step, "larger"),
)
def larger_traces(step: Step, benchmark_questions: pl.DataFrame) -> pl.LazyFrame:
    """Traces of the larger model."""
    return _traces(step, benchmark_questions, "larger")


@table_step(
    _GROUP,
    settings=_inference_settings("smaller"),
    sources=_trace_sources("smaller"),
    checks={"smaller_traces": (CALLS_ANSWERED,)},
    estimate=lambda step: _estimate(step, "smaller"),
)
def smaller_traces(step: Step, benchmark_questions: pl.DataFrame) -> pl.LazyFrame:
    """Traces of the smaller model."""
    return _traces(step, benchmark_questions, "smaller")


def _traces(step: Step, questions: pl.DataFrame, role: Role) -> pl.LazyFrame:
    model = step.study.families[step.family].model_of(role)
    if model.provider == "imported":
        step.facts["provenance"] = import_provenance(step.home.imports, step.study, step.domain, step.family, role)
        return scan_imported_traces(step.home.imports, step.study, step.family, step.domain, role)
    requests = _requests(step, questions, role)
    outcomes = step.models.complete(model, requests)
    keys = [row for row in questions.select("question_id", "benchmark").iter_rows() for _ in range(step.study.trials)]
    rows = [
        {
            "question_id": question_id,
            "benchmark": benchmark,
            "trial": request.trial,
            "model": model.model,
            "recorded_correct": None,
            **answer_columns(model.provider, request, outcome),
        }
        for (question_id, benchmark), request, outcome in zip(keys, requests, outcomes, strict=True)
    ]
    table = TABLES[f"{role}_traces"]
    return pl.LazyFrame(rows, schema={column.name: column.dtype for column in table.columns})


def _requests(step: Step, questions: pl.DataFrame, role: Role) -> list[ChatRequest]:
    """Return T requests per question, trial by trial."""
    model = step.study.families[step.family].model_of(role)
    trials = range(step.study.trials)
    prompts = [prompt for prompt in questions["prompt"] for _ in trials]
    return step.models.chat(model, [(Message("user", prompt),) for prompt in prompts], [*trials] * questions.height)


def _estimate(step: Step, role: Role) -> Estimate:
    model = step.study.families[step.family].model_of(role)
    if model.provider == "imported":
        return Estimate()
    questions = step.questions()
    if questions is None:
        n_questions, known = assumed_questions(step)
        basis = f"as many questions as the benchmarks have{known}"
        return estimate_assumed(step, model, n_questions * step.study.trials, 400, _USUAL_TRACE, basis)
    usual = _SIMULATED_TRACE if model.provider == "simulated" else _USUAL_TRACE
    return estimate_chat(step, model, _requests(step, questions, role), usual)


STEPS = (
    benchmark_questions,
    larger_traces,
    smaller_traces,
)
