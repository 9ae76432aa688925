"""Request structured replies and repeat unusable ones, naming the fault (paper section 3.2.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.science.prompting import UNENDED_THINKING, Message, ReplyFault, answer_text

T = TypeVar("T")
_MOST_SHOWN = 2000
_MOST_FAULT = 500
_REASONS = {"length": "truncated_reply", "content_filter": "content_filter"}


class Answers(Protocol):
    """Anything that answers chat requests, such as a model through the ledger or the ledger alone."""

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Return outcomes in the order of the requests."""
        ...


@dataclass(frozen=True)
class Validated(Generic[T]):
    """A usable reply: its parsed record, its call and the number of broken replies before it."""

    record: T
    call_id: str
    n_repeats: int


@dataclass(frozen=True)
class InvalidReply:
    """A named failure.

    ``reason`` is ``invalid_reply``, ``empty_reply``, ``truncated_reply``, ``content_filter`` or the provider's reason;
    ``raw_reply`` is the last text received, "" if none; ``call_ids`` are all calls made for the request, in order.
    """

    reason: str
    detail: str
    raw_reply: str
    call_ids: tuple[str, ...]


@dataclass(frozen=True)
class _Chain:
    """State of a request between rounds: the next request to send, the calls made, the last text received."""

    request: ChatRequest
    call_ids: tuple[str, ...] = ()
    raw_reply: str = ""


def ask_validated(
    calls: Answers, requests: Sequence[ChatRequest], parse: Callable[[str], T], max_repeats: int
) -> list[Validated[T] | InvalidReply]:
    """Send requests, parse the replies and repeat those that cannot be parsed; one result per request, in their order.

    A repeat is a separate call: the conversation so far, the broken reply, and a message that names its fault. Its id
    derives from the original request and its number, so that rewording a fault does not invalidate recorded calls.
    Thinking is neither parsed nor sent back. If the text is empty but the reply has separate reasoning, the reasoning
    is parsed instead, because some servers put the whole reply there.

    Args:
        calls: answers the requests.
        requests: chat requests; duplicates are allowed.
        parse: returns the record of a reply's text or raises :class:`ReplyFault`, whose message is sent to the model.
        max_repeats: maximum number of repeats of a broken reply, >= 0.

    Raises:
        FatalModelError: no further call can succeed.
    """
    results: dict[int, Validated[T] | InvalidReply] = {}
    chains = {index: _Chain(request) for index, request in enumerate(requests)}
    for n_repeats in range(max_repeats + 1):
        outcomes = calls.chat([chain.request for chain in chains.values()])
        broken: dict[int, _Chain] = {}
        for (index, chain), outcome in zip(chains.items(), outcomes, strict=True):
            result = _judge(chain, outcome, parse, n_repeats, is_last=n_repeats == max_repeats)
            if isinstance(result, _Chain):
                broken[index] = result
            else:
                results[index] = result
        chains = broken
        if not chains:
            break
    return [results[index] for index in range(len(requests))]


def _judge(
    chain: _Chain, outcome: ChatReply | CallFailure, parse: Callable[[str], T], n_repeats: int, is_last: bool
) -> Validated[T] | InvalidReply | _Chain:
    """The usable reply, the named failure, or the chain with its next request."""
    call_ids = (*chain.call_ids, chain.request.call_id)
    if isinstance(outcome, CallFailure):
        return InvalidReply(outcome.reason, outcome.detail, chain.raw_reply, call_ids)
    text = outcome.reasoning if outcome.reasoning and not outcome.text.strip() else outcome.text
    answer = answer_text(text)
    try:
        if not answer:
            raise ReplyFault(UNENDED_THINKING if answer is None else "the reply is empty")
        return Validated(parse(answer), chain.request.call_id, n_repeats)
    except ReplyFault as error:
        fault = " ".join(str(error).split())[:_MOST_FAULT]
    if is_last:
        reason = _REASONS.get(outcome.finish_reason or "", "empty_reply" if answer == "" else "invalid_reply")
        return InvalidReply(reason, fault, text, call_ids)
    if outcome.finish_reason == "length":
        fault = f"{fault} (it was cut off at the token limit, be briefer)"
    return _Chain(_repeat(chain.request, answer or "", fault), call_ids, text)


def _repeat(request: ChatRequest, broken_reply: str, fault: str) -> ChatRequest:
    correction = Message(
        "user",
        f"Your reply could not be used: {fault}. Reply again to the request above, in exactly the format it asks for"
        " and with nothing else.",
    )
    shown = Message("assistant", broken_reply[:_MOST_SHOWN] or "(no reply)")
    return replace(request, messages=(*request.messages, shown, correction), repeat=request.repeat + 1)
