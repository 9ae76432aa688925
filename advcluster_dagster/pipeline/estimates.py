"""Estimate the model calls, tokens and cost of a step before it runs.

The length of replies is the mean of the model's earlier ones in the same asset, and so is the ratio of tokens to
characters; a model that the ledger knows nothing of is assumed to need a token for four characters, and replies of
the stage's usual length.
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
    """Those of the requests that the ledger cannot answer, their tokens and their cost.

    Args:
        step: the step that would ask.
        model: who would be asked.
        requests: all that the step makes.
        usual_completion: tokens a reply where none of the model is known, hidden reasoning left out.
    """
    missing = step.models.to_ask(requests)
    if not missing:
        return Estimate()
    usage, price = step.ledger.mean_usage(model.model, step.asset), step.models.price(model)
    n_characters = sum(len(message.content) for request in missing for message in request.messages)
    n_prompt = _prompt_tokens(missing, n_characters, usage.tokens_per_character)
    if usage.completion_tokens is not None:
        return _priced(model, price, len(missing), n_prompt, round(len(missing) * usage.completion_tokens))
    assumed = f"{step.recipe.name}: {usual_completion:,} tokens a reply of {model.model}"
    return _with_reasoning(
        _priced(model, price, len(missing), n_prompt, len(missing) * usual_completion, assumed), price
    )


def estimate_embeddings(step: "Step", model: Model, texts: Sequence[str]) -> Estimate:
    """As :func:`estimate_chat`, for vectors of texts."""
    missing = step.models.to_ask(step.models.embedding_requests(model, texts))
    usage = step.ledger.mean_usage(model.model, step.asset)
    n_prompt = _prompt_tokens(missing, sum(len(request.text) for request in missing), usage.tokens_per_character)
    return _priced(model, step.models.price(model, is_embedder=True), len(missing), n_prompt, 0)


def estimate_assumed(
    step: "Step", model: Model, n_calls: int, prompt_tokens: int, completion_tokens: int, assumed: str
) -> Estimate:
    """An estimate for a step whose inputs are still to be made; tokens are per call, no completion is an embedding.

    Args:
        step: the step.
        model: who would be asked.
        n_calls: how often.
        prompt_tokens: a call's.
        completion_tokens: a reply's, hidden reasoning left out.
        assumed: what the number of calls rests on, in words.
    """
    is_embedder = not completion_tokens
    tokens = "tokens a text" if is_embedder else f"+ {completion_tokens:,} tokens a call"
    remark = f"{step.recipe.name}: {assumed}, {prompt_tokens:,} {tokens}"
    price = step.models.price(model, is_embedder)
    estimate = _priced(model, price, n_calls, n_calls * prompt_tokens, n_calls * completion_tokens, remark)
    return estimate if is_embedder else _with_reasoning(estimate, price)


def assumed_questions(step: "Step") -> tuple[int, str]:
    """Number of the domain's questions as far as it is known without fetching any, and a phrase about benchmarks whose
    number is not known; empty when all are.
    """
    counts = step.n_questions()
    unknown = [name for name, n_questions in counts.items() if n_questions is None]
    remark = f", without the questions of {', '.join(unknown)}, whose number is not known" if unknown else ""
    return sum(n_questions or 0 for n_questions in counts.values()), remark


def at_least_as_now(step: "Step", table: str, n_assumed: int, assumed: str, rows: str) -> tuple[int, str]:
    """The number assumed and what it rests on, or the number of rows that the table has now, where that is larger.

    Args:
        step: the step.
        table: what will be made again, so that its rows may not be estimated from.
        n_assumed: a number of rows by a rule.
        assumed: the rule in words.
        rows: what the rows are, in words.
    """
    n_now = step.n_rows_now(table)
    return (n_now, f"as many {rows} as now, all asked again") if n_now > n_assumed else (n_assumed, assumed)


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
    """The estimate with what hidden reasoning may add, as the price file guesses it."""
    more = price.cost(0, estimate.n_calls * price.thinking_tokens) if price else None
    return replace(estimate, reasoning_cost=more or 0.0)
