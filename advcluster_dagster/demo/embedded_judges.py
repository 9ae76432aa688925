"""Embedded analyst and embedder as providers: deterministic, without key, GPU or download.

They replace the judge models of paper appendix A.1; every reply is marked as coming from a stand-in.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from advcluster_dagster.demo.analyst.divergence import find_divergence
from advcluster_dagster.demo.analyst.findings import NoContrast
from advcluster_dagster.demo.analyst.naming import name_cluster
from advcluster_dagster.demo.analyst.phrasing import advantages_of, failure_description
from advcluster_dagster.demo.analyst.rating import rate_trace
from advcluster_dagster.demo.analyst.reviewing import review_clusters
from advcluster_dagster.demo.analyst.theming import choose_group, find_intruder, group_clusters, vote_on_theme
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
    approximate_tokens,
)
from advcluster_dagster.science.prompting import read_fenced
from advcluster_dagster.science.quotes import find_passage

ANALYST = "analyst"
EMBEDDER = "wordllama-256"
#: Failure reason if two responses show no contrast; the detail is a text of ``NoContrast``.
NO_CONTRAST = "no_contrast"
STAND_IN = "embedded analyst (stand-in)"
EMBEDDING_DIMENSIONS = 256
_LONGEST_TEXT = 20_000


class EmbeddedAnalyst:
    """Chat provider that answers judge requests deterministically, from the messages alone."""

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Answer each request in order.

        Raises:
            FatalModelError: a request names another model.
        """
        for index, request in enumerate(requests):
            if request.model != ANALYST:
                raise FatalModelError(f"the embedded provider has no chat model {request.model!r}, only {ANALYST!r}")
            yield index, _answer(request)

    def close(self) -> None:
        """Do nothing; there are no resources to release."""


class EmbeddedEmbedder:
    """Embedding provider with WordLlama's packaged weights, loaded once per process: unit vectors of 256 numbers."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Embed all texts in one batch; a text without tokens is a failure, very long texts are truncated.

        Raises:
            FatalModelError: a request names another model or another number of dimensions.
        """
        for request in requests:
            if request.model != EMBEDDER:
                raise FatalModelError(f"the embedded provider has no embedder {request.model!r}, only {EMBEDDER!r}")
            if request.dimensions not in (None, EMBEDDING_DIMENSIONS):
                raise FatalModelError(f"{EMBEDDER} gives {EMBEDDING_DIMENSIONS} dimensions, not {request.dimensions}")
        vectors = embed_texts([request.text for request in requests])
        for index, vector in enumerate(vectors):
            if np.isfinite(vector).all() and vector.any():
                yield index, EmbeddingReply(vector, _n_tokens(requests[index].text))
            else:
                yield index, CallFailure("empty_text", "there is nothing to embed in the text")

    def close(self) -> None:
        """Do nothing; the weights stay loaded for the process."""


def embed_texts(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Embed texts as L2-normalised vectors, float32 of shape (n, 256); zeros for texts without tokens."""
    vectors = np.zeros((len(texts), EMBEDDING_DIMENSIONS), dtype=np.float32)
    filled = [index for index, text in enumerate(texts) if text.strip()]
    if filled:
        raw = _wordllama().embed([texts[index][:_LONGEST_TEXT].encode("utf-8", "replace").decode() for index in filled])
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        vectors[filled] = np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0)
    return vectors


class _Embeds(Protocol):
    def embed(self, texts: list[str]) -> npt.NDArray[np.float32]: ...


@cache
def _wordllama() -> _Embeds:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    import wordllama

    # Importing wordllama configures logging for the whole process; restore the caller's configuration.
    root.setLevel(level)
    root.handlers[:] = handlers
    # With downloads disabled, the library finds its packaged tokenizer only if given as the cache folder.
    folder = Path(wordllama.__file__).parent
    return cast(_Embeds, wordllama.WordLlama.load(cache_dir=folder, disable_download=True))


def _answer(request: ChatRequest) -> ChatReply | CallFailure:
    fenced = read_fenced(
        next((m.content for m in reversed(request.messages) if m.role == "user" and "<<<" in m.content), "")
    )
    content: dict[str, Any] | CallFailure
    if fenced.keys() >= {"problem", "model_a", "model_b"}:
        content = _extract(fenced["problem"], fenced["model_a"], fenced["model_b"])
    elif "descriptions" in fenced:
        content = name_cluster(fenced["descriptions"])
    elif "theme_clusters" in fenced:
        content = group_clusters(fenced["theme_clusters"])
    elif fenced.keys() >= {"groups", "description"}:
        content = choose_group(fenced["groups"], fenced["description"])
    elif "candidates" in fenced:
        content = find_intruder(fenced["candidates"])
    elif fenced.keys() >= {"theme", "description"}:
        content = vote_on_theme(fenced["theme"], fenced["description"])
    elif fenced.keys() >= {"question", "trace"}:
        content = rate_trace(fenced["question"], fenced["trace"])
    elif "clusters" in fenced:
        content = review_clusters(fenced["clusters"], request.trial)
    else:
        return CallFailure(
            "unknown_task",
            f"the {ANALYST} knows extraction, naming, review, themes, sorting and rating; the message holds none of"
            " them",
        )
    if isinstance(content, CallFailure):
        return content
    text = json.dumps(content, ensure_ascii=False)
    return ChatReply(
        text=text,
        finish_reason="stop",
        prompt_tokens=_n_tokens("".join(message.content for message in request.messages)),
        completion_tokens=_n_tokens(text),
        served_model=STAND_IN,
    )


def _n_tokens(text: str) -> int:
    """Estimate the token count as a quarter of the characters, rounded up; nothing is tokenised."""
    return ceil(approximate_tokens(len(text)))


def _verbatim(passage: str, text: str) -> str:
    """The passage as it occurs in the text, including spacing; empty if it does not occur."""
    spans = find_passage(passage, text).spans if passage else ()
    return text[slice(*spans[0])] if spans else ""


def _extract(problem: str, right_text: str, wrong_text: str) -> dict[str, Any] | CallFailure:
    finding = find_divergence(problem, right_text, wrong_text)
    if isinstance(finding, NoContrast):
        return CallFailure(NO_CONTRAST, str(finding))
    return {
        "failure_stage": finding.stage,
        "failure_quote": _verbatim(finding.wrong_text, wrong_text),
        "failure_description": failure_description(finding),
        "advantages": [
            {
                "advantage": text,
                "evidence": evidence,
                "larger_quote": _verbatim(finding.right_text, right_text),
                "smaller_quote": _verbatim(finding.wrong_text, wrong_text),
            }
            for text, evidence in advantages_of(finding)
        ],
    }
