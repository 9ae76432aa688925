"""Protocol of model providers: requests, replies, failures and the identity of a call."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.science.prompting import Message

#: Used to estimate the tokens of a text when they are unknown.
CHARACTERS_PER_TOKEN = 4


class FatalModelError(AdvClusterError, RuntimeError):
    """No further call can succeed: wrong key, unknown model, exhausted quota, unreachable server; one-line message."""


@dataclass(frozen=True)
class ChatRequest:
    """A chat call, identified by ``model``, ``messages``, ``sampling``, ``reply_schema``, ``trial`` and ``repeat``.

    Requests that differ only in ``trial`` are different samples: the trial of an inference call, the index of a review,
    0 otherwise. ``repeat`` is n for the n-th repeat of a broken reply, else 0; the last 2n messages are then the broken
    replies and the corrections, and the id derives from the original request and n (see :func:`call_id_of`).
    ``sampling`` holds the settings given in the study (temperature, top_p, top_k, max_tokens, seed, reasoning effort);
    absent ones keep the model's defaults. ``reply_schema`` is a JSON schema for structured output.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    trial: int = 0
    reply_schema: Mapping[str, Any] | None = None
    repeat: int = 0

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The request as JSON data; stored in the ledger with the reply."""
        identity = {
            "kind": "chat",
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "sampling": dict(self.sampling),
            "trial": self.trial,
            "reply_schema": self.reply_schema,
        }
        return identity | ({"repeat": self.repeat} if self.repeat else {})

    @cached_property
    def call_id(self) -> str:
        """Id of the call, 64 hex digits; see :func:`call_id_of`."""
        return call_id_of(self.identity)


@dataclass(frozen=True)
class EmbeddingRequest:
    """One text to embed; ``dimensions`` is the requested vector length, None for the model's default."""

    model: str
    text: str
    dimensions: int | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The request as JSON data; stored in the ledger with the vector."""
        return {"kind": "embedding", "model": self.model, "text": self.text, "dimensions": self.dimensions}

    @cached_property
    def call_id(self) -> str:
        """sha256 of the identity's canonical JSON, 64 hex digits."""
        return sha256_of_json(self.identity)


@dataclass(frozen=True)
class ChatReply:
    """A reply as returned by the provider; fields that the provider does not report are None.

    ``reasoning`` is reasoning returned separately from ``text``. ``sampling`` records the settings actually used where
    they differ from the request (an unsupported seed, defaults of the model's generation config).
    """

    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    served_model: str | None = None
    system_fingerprint: str | None = None
    upstream_provider: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class EmbeddingReply:
    """One vector, float32 of shape (d,); ``prompt_tokens`` is None if the provider does not report it."""

    vector: npt.NDArray[np.float32]
    prompt_tokens: int | None = None


@dataclass(frozen=True)
class CallFailure:
    """A call without a reply after all retries; ``reason`` is a short snake_case name, ``detail`` one line."""

    reason: str
    detail: str


class ChatProvider(Protocol):
    """Answers chat requests; one instance serves one step and is closed at its end.

    Requests may be claimed one by one as they are accessed (see ``claimed_requests``): a provider that iterates no
    faster than it sends leaves the rest to other processes. An error raised by the sequence means: stop sending.

    Optional members: a mapping ``facts`` (such as an engine's name and speed), shown in the step's metadata; a
    thread-safe method ``stop``, for providers that send calls over a network, after which they send nothing and soon
    end.
    """

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Yield (index into ``requests``, outcome) as each call finishes, in any order, every index exactly once.

        Transient faults are retried internally; calls that still fail are yielded as :class:`CallFailure`.

        Raises:
            FatalModelError: no further call can succeed.
        """
        ...

    def close(self) -> None:
        """Release connections, engines and memory."""
        ...


class EmbeddingProvider(Protocol):
    """Embeds texts; the provider decides how many go into one transport call."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) as each text is embedded; otherwise as :meth:`ChatProvider.complete`."""
        ...

    def close(self) -> None:
        """Release connections and memory."""
        ...


def call_id_of(request: Mapping[str, Any]) -> str:
    """Id of a call from its request: sha256 of the canonical JSON, 64 hex digits.

    The id of the n-th repeat derives from the original request's id and n only, so that it does not depend on how the
    fault is worded.
    """
    n_repeats = request.get("repeat", 0)
    if not n_repeats:
        return sha256_of_json(request)
    first = {name: value for name, value in request.items() if name != "repeat"}
    first["messages"] = request["messages"][: -2 * n_repeats]
    return repeat_id(sha256_of_json(first), n_repeats)


def repeat_id(first_id: str, n_repeats: int) -> str:
    """Id of the n-th repeat of a call, n >= 1."""
    return sha256_of_json({"first": first_id, "repeat": n_repeats})


def sha256_of_json(value: Any) -> str:
    """sha256 of a value's canonical JSON, 64 hex digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def approximate_tokens(n_characters: float) -> float:
    """Estimate the tokens of a text as a quarter of its characters."""
    return n_characters / CHARACTERS_PER_TOKEN
