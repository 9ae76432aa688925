"""Estimate the model calls, tokens and cost of a step before it runs.

Reply length and tokens per character are means over the model's earlier calls in the same asset. For a model without
calls in the ledger, a token per four characters and the stage's usual reply length are assumed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from advcluster_dagster.ledger.prices import Price
from advcluster_dagster.ledger.tables import request_text
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingRequest, approximate_tokens
from advcluster_dagster.pipeline.recipe import Estimate
from advcluster_dagster.study.models import Model

if TYPE_CHECKING:
    from advcluster_dagster.pipeline.step import Step


def estimate_chat(step: "Step", model: Model, requests: Sequence[ChatRequest], usual_completion: int) -> Estimate:
    """Estimate number, tokens and cost of the requests that the ledger cannot answer.

    Args:
        step: the step that makes the requests.
        model: the model to call.
        requests: all requests of the step.
        usual_completion: tokens per reply assumed without earlier replies, excluding hidden reasoning.
    """
    missing = step.models.to_ask(requests)
    if not missing:
        return Estimate()
    usage, price = step.ledger.mean_usage(model.model, step.asset), step.models.price(model)
    n_characters = sum(len(message.content) for request in missing for message in request.messages)
    n_prompt = _prompt_tokens(missing, n_characters, usage.tokens_per_character)
    if usage.completion_tokens is not None:
        return _priced(model, price, len(missing), n_prompt, round(len(missing) * usage.completion_tokens))
    assumed = f"{step.recipe.name}: {usual_completion:,} tokens per reply of {model.model}"
    return _with_reasoning(
        _priced(model, price, len(missing), n_prompt, len(missing) * usual_completion, assumed), price
    )


def estimate_embeddings(step: "Step", model: Model, texts: Sequence[str]) -> Estimate:
    """Estimate the embedding calls for texts, as :func:`estimate_chat`."""
    missing = step.models.to_ask(step.models.embedding_requests(model, texts))
    usage = step.ledger.mean_usage(model.model, step.asset)
    n_prompt = _prompt_tokens(missing, sum(len(request.text) for request in missing), usage.tokens_per_character)
    return _priced(model, step.models.price(model, is_embedder=True), len(missing), n_prompt, 0)


def estimate_assumed(
    step: "Step", model: Model, n_calls: int, prompt_tokens: int, completion_tokens: int, assumed: str
) -> Estimate:
    """Estimate the calls of a step whose inputs do not exist yet.

    Args:
        step: the step.
        model: the model to call.
        n_calls: number of calls.
        prompt_tokens: tokens per prompt.
        completion_tokens: tokens per reply, excluding hidden reasoning; 0 for embeddings.
        assumed: basis of the number of calls, as a phrase.
    """
    is_embedder = not completion_tokens
    tokens = "tokens per text" if is_embedder else f"+ {completion_tokens:,} tokens per call"
    remark = f"{step.recipe.name}: {assumed}, {prompt_tokens:,} {tokens}"
    price = step.models.price(model, is_embedder)
    estimate = _priced(model, price, n_calls, n_calls * prompt_tokens, n_calls * completion_tokens, remark)
    return estimate if is_embedder else _with_reasoning(estimate, price)


def assumed_questions(step: "Step") -> tuple[int, str]:
    """Return the number of the domain's questions known without downloads, and a phrase about unknown benchmarks.

    The phrase is empty if the number of questions of every benchmark is known.
    """
    counts = step.n_questions()
    unknown = [name for name, n_questions in counts.items() if n_questions is None]
    remark = f", without {', '.join(unknown)}, whose number of questions is unknown" if unknown else ""
    return sum(n_questions or 0 for n_questions in counts.values()), remark


def at_least_as_now(step: "Step", table: str, n_assumed: int, assumed: str, rows: str) -> tuple[int, str]:
    """Return the larger of an assumed and the current number of rows of a table, and its basis as a phrase.

    Args:
        step: the step.
        table: the table, which the run will make again.
        n_assumed: assumed number of rows.
        assumed: basis of the assumed number, as a phrase.
        rows: what the rows are, as a phrase.
    """
    n_current = step.n_current_rows(table)
    return (n_current, f"as many {rows} as now, all repeated") if n_current > n_assumed else (n_assumed, assumed)


def _prompt_tokens(
    requests: Sequence[ChatRequest] | Sequence[EmbeddingRequest], n_characters: int, ratio: float | None
) -> int:
    if ratio is None:
        return round(approximate_tokens(n_characters))
    return round(ratio * sum(len(request_text(request)) for request in requests))


def _priced(
    model: Model, price: Price | None, n_calls: int, prompt_tokens: int, completion_tokens: int, assumed: str = ""
) -> Estimate:
    remark = (assumed,) if assumed else ()
    if price is None:
        return Estimate(n_calls, prompt_tokens, completion_tokens, None, remark, (model.model,))
    return Estimate(n_calls, prompt_tokens, completion_tokens, price.cost(prompt_tokens, completion_tokens), remark)


def _with_reasoning(estimate: Estimate, price: Price | None) -> Estimate:
    """Add the cost of hidden reasoning that the price file assumes."""
    more = price.cost(0, estimate.n_calls * price.thinking_tokens) if price else None
    return replace(estimate, reasoning_cost=more or 0.0)
