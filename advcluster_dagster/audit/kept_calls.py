"""Find a judge's calls in the ledger by the texts they contain, and parse their replies again."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from advcluster_dagster.ledger.entries import LedgerEntry
from advcluster_dagster.ledger.validated import InvalidReply, Validated, ask_validated
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.science.prompting import Message, read_fenced

T = TypeVar("T")
_NOT_KEPT = "not_kept"
_MOST_REPEATS = 10


@dataclass(frozen=True)
class Found(Generic[T]):
    """A judge's call: the first request, and the result of its replies."""

    request: ChatRequest
    result: Validated[T] | InvalidReply

    @property
    def call_id(self) -> str:
        """Id of the call whose reply was used, otherwise of the last call."""
        return self.result.call_id if isinstance(self.result, Validated) else self.result.call_ids[-1]


@dataclass
class KeptCalls(Generic[T]):
    """The chat calls that a partition used.

    Args:
        entries: the partition's ledger entries, oldest first.
        parse: reads a reply's text.
    """

    entries: Sequence[LedgerEntry]
    parse: Callable[[str], T]
    _by_texts: dict[Hashable, list[ChatRequest]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ordered = sorted(self.entries, key=lambda entry: not entry.is_retired)  # entries in use overwrite retired ones
        self._replay = _Replay({entry.call_id: entry for entry in ordered})
        for entry in self.entries:
            request = chat_request(entry)
            if request and len(request.messages) == 2:  # a repeat has more: it includes the invalid reply
                self._by_texts.setdefault(_texts_key(request.messages, request.trial), []).append(request)

    def about(self, messages: Sequence[Message], trial: int, is_right: Callable[[Found[T]], bool]) -> Found[T] | None:
        """Return the call with the same fenced texts as these messages, or None.

        Several calls match if they were made with other prompts or settings: the last one whose result ``is_right``
        for the rows is returned, otherwise the first.
        """
        match = None
        for request in reversed(self._by_texts.get(_texts_key(messages, trial), [])):
            match = Found(request, self._read(request))
            if is_right(match):
                break
        return match

    def _read(self, request: ChatRequest) -> Validated[T] | InvalidReply:
        (result,) = ask_validated(self._replay, [request], self.parse, _MOST_REPEATS)
        if isinstance(result, InvalidReply) and result.reason == _NOT_KEPT and len(result.call_ids) > 1:
            # The last call is the last repeat that the study allowed: its fault is the reason for the failure.
            (result,) = ask_validated(self._replay, [request], self.parse, len(result.call_ids) - 2)
        return result


@dataclass
class _Replay:
    """Answers requests from recorded calls; a call that was not recorded fails with reason ``not_kept``."""

    entries: Mapping[str, LedgerEntry]

    def chat(self, requests: Sequence[ChatRequest]) -> list[ChatReply | CallFailure]:
        return [self._outcome(request.call_id) for request in requests]

    def _outcome(self, call_id: str) -> ChatReply | CallFailure:
        outcome = self.entries[call_id].outcome if call_id in self.entries else None
        return outcome if isinstance(outcome, ChatReply | CallFailure) else CallFailure(_NOT_KEPT, "")


def chat_request(entry: LedgerEntry) -> ChatRequest | None:
    """Return the request of a chat entry; None for other entries."""
    values = entry.request
    if values.get("kind") != "chat":
        return None
    messages = tuple(Message(message["role"], message["content"]) for message in values["messages"])
    options = (values["sampling"], values["trial"], values["reply_schema"], values.get("repeat", 0))
    return ChatRequest(values["model"], messages, *options)


def _texts_key(messages: Sequence[Message], trial: int) -> Hashable:
    return (trial, *sorted(read_fenced(messages[1].content).items()))
