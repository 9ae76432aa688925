"""Convert trials to the samples of an Inspect log.

Values that Inspect has no field for are stored in the metadata under `advcluster`, where the import reads them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import polars as pl

from advcluster_dagster.sources.imports.inspect_logs import METADATA_KEY, inspect_module

#: Name of the scorer for our verdicts.
SCORER = "advcluster"

_STOP_REASONS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter", "tool_calls": "tool_calls"}
_THINKING_START, _THINKING_END = "<think>", "</think>\n"


@dataclass(frozen=True)
class RoleLog:
    """Content of a log: a model's trials on a benchmark.

    ``rows`` has one row per trial with the columns of the traces, their questions and their grading. ``graded_at`` is
    in seconds since the epoch.
    """

    study: str
    family: str
    domain: str
    benchmark: str
    role: str
    model: str
    n_trials: int
    answer_place: dict[str, Any]
    traces_hash: str
    graded_at: float
    rows: pl.DataFrame


def eval_log(content: RoleLog) -> Any:
    """Build inspect-ai's ``EvalLog``; equal content gives equal ids."""
    log = inspect_module("log")
    place = (content.study, content.family, content.domain, content.benchmark, content.role)
    time = datetime.fromtimestamp(content.graded_at, UTC).isoformat(timespec="seconds")
    rows = content.rows
    spec = log.EvalSpec(
        eval_id=_id(*place, content.traces_hash),
        run_id=_id(content.study, content.family),
        task_id=_id(*place),
        created=time,
        task=content.benchmark,
        model=content.model,
        dataset=log.EvalDataset(
            name=content.benchmark,
            samples=rows["question_id"].n_unique(),
            sample_ids=rows["question_id"].unique(maintain_order=True).to_list(),
        ),
        config=log.EvalConfig(epochs=content.n_trials),
        packages={"advcluster-dagster": version("advcluster-dagster")},
        tags=[content.study, content.family, content.role],
        metadata={METADATA_KEY: _metadata(content)},
    )
    return log.EvalLog(
        status="success",
        eval=spec,
        plan=log.EvalPlan(steps=[log.EvalPlanStep(solver="generate")], config=_config(rows)),
        results=_results(rows),
        stats=log.EvalStats(completed_at=time),
        samples=[_sample(content, row) for row in rows.iter_rows(named=True)],
    )


def _id(*parts: object) -> str:
    """Deterministic id of the parts, as long as Inspect's own ids."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:22]


def _metadata(content: RoleLog) -> dict[str, Any]:
    sources = content.rows.select("source", "source_revision").unique(maintain_order=True)
    return {
        "study": content.study,
        "family": content.family,
        "domain": content.domain,
        "benchmark": content.benchmark,
        "role": content.role,
        **content.answer_place,
        "traces_content_hash": content.traces_hash,
        "question_sources": sources.to_dicts(),
        "verdicts": dict(content.rows["verdict"].value_counts(sort=True).iter_rows()),
    }


def _config(rows: pl.DataFrame) -> Any:
    """Sampling settings that all trials share and Inspect supports."""
    generate_config = inspect_module("model").GenerateConfig
    texts = rows["sampling"].unique().to_list()
    settings = _object(texts[0]) if len(texts) == 1 else {}
    known = ("temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty")
    return generate_config(**{name: settings[name] for name in known if type(settings.get(name)) in (int, float)})


def _results(rows: pl.DataFrame) -> Any:
    """Accuracy over the scored trials; no metric if none is scored."""
    log = inspect_module("log")
    n_scored = rows["is_correct"].count()
    accuracy = rows["is_correct"].mean()
    metrics = {"accuracy": log.EvalMetric(name="accuracy", value=accuracy)} if n_scored else {}
    score = log.EvalScore(
        name=SCORER, scorer=SCORER, metrics=metrics,
        scored_samples=n_scored, unscored_samples=rows.height - n_scored,
    )  # fmt: skip
    return log.EvalResults(total_samples=rows.height, completed_samples=rows["response"].count(), scores=[score])


def _sample(content: RoleLog, row: Mapping[str, Any]) -> Any:
    log, model = inspect_module("log"), inspect_module("model")
    output = _output(content.model, row)
    asked = model.ChatMessageUser(content=row["prompt"], source="input")
    options = _object(row["answer_context"]).get("options")
    failed = row["response"] is None
    message = row["finish_reason"] or "no response"
    return log.EvalSample(
        id=row["question_id"],
        epoch=row["trial"] + 1,
        uuid=_id(content.study, content.family, content.role, row["question_id"], row["trial"]),
        input=row["prompt"],
        target=row["answer"],
        choices=options if _is_texts(options) else None,
        messages=[asked, *(choice.message for choice in output.choices)],
        output=output,
        scores={SCORER: _score(row)},
        metadata={METADATA_KEY: _own_fields(row)},
        model_usage={content.model: output.usage} if output.usage else {},
        error=log.EvalError(message=message, traceback="", traceback_ansi="") if failed else None,
    )


def _output(name: str, row: Mapping[str, Any]) -> Any:
    model = inspect_module("model")
    n_in, n_out = row["prompt_tokens"], row["completion_tokens"]
    # Inspect cannot represent unknown counts, and missing is not zero: usage is omitted unless both are known.
    is_counted = n_in is not None and n_out is not None
    usage = model.ModelUsage(input_tokens=n_in, output_tokens=n_out, total_tokens=n_in + n_out) if is_counted else None
    if row["response"] is None:
        return model.ModelOutput(model=name, usage=usage, error=row["finish_reason"])
    message = model.ChatMessageAssistant(content=_parts(row["response"]), model=name, source="generate")
    reason = _STOP_REASONS.get(row["finish_reason"], "unknown")
    choice = model.ChatCompletionChoice(message=message, stop_reason=reason)
    return model.ModelOutput(model=name, choices=[choice], usage=usage)


def _parts(response: str) -> Any:
    """Split a response into leading, closed thinking and the rest; joining the parts restores the response."""
    model = inspect_module("model")
    thinking, end, answer = response.removeprefix(_THINKING_START).partition(_THINKING_END)
    if not response.startswith(_THINKING_START) or not end:
        return response
    return [model.ContentReasoning(reasoning=thinking), model.ContentText(text=answer)]


def _score(row: Mapping[str, Any]) -> Any:
    score = inspect_module("scorer").Score
    answer = {
        "answer": row["prediction"],
        "explanation": row["verdict"],
        "metadata": {name: row[name] for name in ("verdict", "grader", "grader_version")},
    }
    if row["is_correct"] is None:
        return score.unscored(reason=row["verdict"], **answer)
    return score(value="C" if row["is_correct"] else "I", **answer)


def _own_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "benchmark", "question", "answer_type", "answer_context", "source", "source_revision", "finish_reason",
        "engine", "sampling", "recorded_correct",
    )  # fmt: skip
    return {name: row[name] for name in names if row[name] is not None}


def _object(text: str | None) -> dict[str, Any]:
    """Parse a JSON object; empty if the text is not one."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)
