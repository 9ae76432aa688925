"""Ask for replies that must be records, and repeat unusable ones with the fault named (paper section 3.2.2)."""

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
    """What answers chat requests: a model through the ledger, or what the ledger kept."""

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        """Outcomes in the order of the requests."""
        ...


@dataclass(frozen=True)
class Validated(Generic[T]):
    """A usable reply: its record, the call it came from, and how many broken replies came before it."""

    record: T
    call_id: str
    n_repeats: int


@dataclass(frozen=True)
class InvalidReply:
    """A named failure.

    ``reason`` is ``invalid_reply``, ``empty_reply``, ``truncated_reply``, ``content_filter`` or the provider's own;
    ``raw_reply`` is the last text that came, "" where none did; ``call_ids`` are all calls made for it, in order.
    """

    reason: str
    detail: str
    raw_reply: str
    call_ids: tuple[str, ...]


@dataclass(frozen=True)
class _Chain:
    """One request's way through the rounds: the request to ask next, the calls made, the last text."""

    request: ChatRequest
    call_ids: tuple[str, ...] = ()
    raw_reply: str = ""


def ask_validated(
    calls: Answers, requests: Sequence[ChatRequest], parse: Callable[[str], T], max_repeats: int
) -> list[Validated[T] | InvalidReply]:
    """Ask, parse, and ask again for what could not be parsed; one result per request, in their order.

    A repeat is a call of its own: the conversation so far, the broken reply, and a message that names its fault; the
    ledger knows it by the first request and its number, so that other words for a fault cost nothing. What stands in
    thinking is neither parsed nor sent back. Where the text is empty and reasoning came apart from it, the reasoning is
    read: some servers put the whole reply there.

    Args:
        calls: through which the requests are asked.
        requests: chat requests, equal ones allowed.
        parse: the record of a reply's text, or a :class:`ReplyFault` in words that can be sent back.
        max_repeats: how often a broken reply is asked for again, >= 0.

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
    """The record, the named failure, or the chain with its next request."""
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
