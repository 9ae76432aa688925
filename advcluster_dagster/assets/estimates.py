"""What model calls will take before they are made: the tokens and the cost that a dry run shows.

Here: from requests, or from assumptions, to an estimate. Not here: which requests a step makes (its stage's file), the
plan (automation), prices (models). The length of replies is the mean of the model's earlier ones in the same asset,
and so is the ratio of tokens to characters; a model that the ledger knows nothing of is assumed to need a token for
four characters, and replies of the stage's usual length.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from advcluster_dagster.assets.recipe import Estimate
from advcluster_dagster.models.ledger_tables import request_text
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingRequest
from advcluster_dagster.settings.models import Model

if TYPE_CHECKING:
    from advcluster_dagster.assets.step import Step

_CHARACTERS_PER_TOKEN = 4


def estimate_chat(step: "Step", model: Model, requests: Sequence[ChatRequest], usual_completion: int) -> Estimate:
    """Those of the requests that the ledger cannot answer, their tokens and their cost.

    Args:
        step: the step that would ask.
        model: who would be asked.
        requests: all that the step makes.
        usual_completion: tokens a reply where none of the model is known, beside hidden reasoning.
    """
    requests = step.to_ask(requests)
    if not requests:
        return Estimate()
    usage = step.ledger.mean_usage(model.model, step.asset)
    n_characters = sum(len(message.content) for request in requests for message in request.messages)
    n_prompt = _prompt_tokens(requests, n_characters, usage.tokens_per_character)
    if usage.completion_tokens is not None:
        return _estimate(step, model, len(requests), n_prompt, round(len(requests) * usage.completion_tokens))
    per_reply = usual_completion + _thinking(step, model)
    assumed = f"{step.recipe.name}: {per_reply:,} tokens a reply of {model.model}"
    return _estimate(step, model, len(requests), n_prompt, len(requests) * per_reply, assumed)


def estimate_embeddings(step: "Step", model: Model, texts: Sequence[str]) -> Estimate:
    """As :func:`estimate_chat`, for vectors of texts."""
    requests = step.to_ask(step.embedding_requests(model, texts))
    usage = step.ledger.mean_usage(model.model, step.asset)
    n_prompt = _prompt_tokens(requests, sum(len(request.text) for request in requests), usage.tokens_per_character)
    return _estimate(step, model, len(requests), n_prompt, 0, is_embedder=True)


def estimate_assumed(
    step: "Step", model: Model, n_calls: int, prompt_tokens: int, completion_tokens: int, assumed: str
) -> Estimate:
    """An estimate for a step whose inputs do not exist yet; tokens are per call, no completion is an embedding.

    Args:
        step: the step.
        model: who would be asked.
        n_calls: how often.
        prompt_tokens: a call's.
        completion_tokens: a reply's, beside hidden reasoning.
        assumed: what the number of calls rests on, in words.
    """
    is_embedder = not completion_tokens
    per_reply = 0 if is_embedder else completion_tokens + _thinking(step, model)
    tokens = f"{prompt_tokens:,} tokens a text" if is_embedder else f"{prompt_tokens:,} + {per_reply:,} tokens a call"
    said = f"{step.recipe.name}: {assumed}, {tokens}"
    return _estimate(step, model, n_calls, n_calls * prompt_tokens, n_calls * per_reply, said, is_embedder)


def _thinking(step: "Step", model: Model) -> int:
    price = step.price(model)
    return price.thinking_tokens if price else 0


def _prompt_tokens(
    requests: Sequence[ChatRequest] | Sequence[EmbeddingRequest], n_characters: int, ratio: float | None
) -> int:
    if ratio is None:
        return round(n_characters / _CHARACTERS_PER_TOKEN)
    return round(ratio * sum(len(request_text(request)) for request in requests))


def _estimate(
    step: "Step",
    model: Model,
    n_calls: int,
    prompt_tokens: int,
    completion_tokens: int,
    assumed: str = "",
    is_embedder: bool = False,
) -> Estimate:
    price = step.price(model, is_embedder)
    cost = price.cost(prompt_tokens, completion_tokens) if price else None
    unpriced = () if price else (model.model,)
    return Estimate(n_calls, prompt_tokens, completion_tokens, cost, (assumed,) if assumed else (), unpriced)
