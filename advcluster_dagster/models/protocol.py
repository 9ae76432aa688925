"""The protocol of model providers: requests, replies, failures, and the identity of a call."""

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

#: Used where the tokens of a text are not known.
CHARACTERS_PER_TOKEN = 4


class FatalModelError(AdvClusterError, RuntimeError):
    """No further call can succeed: wrong key, unknown model, exhausted quota, server not reachable. One line for
    people.
    """


@dataclass(frozen=True)
class ChatRequest:
    """One chat call.

    ``model``, ``messages``, ``sampling``, ``reply_schema`` and ``trial`` make its identity: T equal
    requests are T different samples. ``trial`` is the run of an inference call, the review index of a review, 0
    otherwise. ``repeat`` is 0, and n for the n-th time that a broken reply is asked for again; then the last 2n
    messages are the broken replies and the error messages about them, and its identity is that of the first request
    with n (see :func:`call_id_of`).
    ``sampling`` holds temperature, top_p, top_k, max_tokens, seed, reasoning effort where the study sets them; a
    setting that is absent is left to the model. ``reply_schema`` is a JSON schema for structured output.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    trial: int = 0
    reply_schema: Mapping[str, Any] | None = None
    repeat: int = 0

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What is asked, as plain JSON data; kept in the ledger beside the reply."""
        asked = {
            "kind": "chat",
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "sampling": dict(self.sampling),
            "trial": self.trial,
            "reply_schema": self.reply_schema,
        }
        return asked | ({"repeat": self.repeat} if self.repeat else {})

    @cached_property
    def call_id(self) -> str:
        """64 hex digits, see :func:`call_id_of`."""
        return call_id_of(self.identity)


@dataclass(frozen=True)
class EmbeddingRequest:
    """One text to embed; ``dimensions`` is asked of models that can shorten their vectors, None leaves it to the
    model.
    """

    model: str
    text: str
    dimensions: int | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What is asked, as plain JSON data; kept in the ledger beside the vector."""
        return {"kind": "embedding", "model": self.model, "text": self.text, "dimensions": self.dimensions}

    @cached_property
    def call_id(self) -> str:
        """sha256 of the identity's canonical JSON, 64 hex digits."""
        return sha256_of_json(self.identity)


@dataclass(frozen=True)
class ChatReply:
    """One answer as the provider gave it; None where the provider does not say.

    ``reasoning`` is reasoning content returned apart from ``text``. ``sampling`` records what was really used where it
    differs from the request (a seed the engine could not take, defaults of the model's generation config).
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
    """One vector, float32 of shape (d,); ``prompt_tokens`` is None where the provider does not say."""

    vector: npt.NDArray[np.float32]
    prompt_tokens: int | None = None


@dataclass(frozen=True)
class CallFailure:
    """A call that ended without a reply after all retries; ``reason`` is a short snake_case name, ``detail`` one
    line.
    """

    reason: str
    detail: str


class ChatProvider(Protocol):
    """Answers chat requests; one instance serves one step and is closed at its end.

    The requests it is given may be claimed one by one as they are reached (see ``calls``): a provider that iterates
    over them no faster than it sends them leaves the others to other processes. An error that comes from there means
    that nothing more is to be sent.

    One that has more to tell than its replies (an engine's name and speed) has a mapping ``facts``; one that sends
    calls over a network has a method ``stop``, for any thread to call, after which it sends none and soon ends.
    """

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Yield (index into ``requests``, outcome) as each call finishes, in any order, every index exactly once.

        Transient faults are retried inside; what still fails is yielded as a :class:`CallFailure`.

        Raises:
            FatalModelError: no further call can succeed.
        """
        ...

    def close(self) -> None:
        """Release connections, engines and memory."""
        ...


class EmbeddingProvider(Protocol):
    """Embeds texts; how many go into one transport call is the provider's affair."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) as each text is embedded; as :meth:`ChatProvider.complete`."""
        ...

    def close(self) -> None:
        """Release connections and memory."""
        ...


def call_id_of(asked: Mapping[str, Any]) -> str:
    """The id of a call, from what was asked: sha256 of its canonical JSON, 64 hex digits.

    That of the n-th repeat is made from the first request's id and n alone: a broken reply is asked for again as the
    same call, however the fault in it is worded.
    """
    n_repeats = asked.get("repeat", 0)
    if not n_repeats:
        return sha256_of_json(asked)
    first = {name: value for name, value in asked.items() if name != "repeat"}
    first["messages"] = asked["messages"][: -2 * n_repeats]
    return repeat_id(sha256_of_json(first), n_repeats)


def repeat_id(first_id: str, n_repeats: int) -> str:
    """The id of the n-th repeat of a call, n >= 1."""
    return sha256_of_json({"first": first_id, "repeat": n_repeats})


def sha256_of_json(value: Any) -> str:
    """sha256 of a value's canonical JSON, 64 hex digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def approximate_tokens(n_characters: float) -> float:
    """Tokens of a text whose tokens nobody counted: a quarter of its characters."""
    return n_characters / CHARACTERS_PER_TOKEN
