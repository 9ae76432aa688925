from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from advcluster_dagster.ledger.calls import ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.validated import InvalidReply, Validated, ask_validated
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest
from advcluster_dagster.science.prompting import Message, ReplyFault

USE = ("s", "corpus", "f|d")


class Script:
    """Answers a request by its first message and the number of replies in it; repeats the last answer."""

    def __init__(self, script: dict[str, list[str | ChatReply | CallFailure]]) -> None:
        self.script = script
        self.asked: list[ChatRequest] = []

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        for index, request in enumerate(requests):
            self.asked.append(request)
            replies = self.script[request.messages[0].content]
            reply = replies[min(len(request.messages) // 2, len(replies) - 1)]
            yield index, ChatReply(reply) if isinstance(reply, str) else reply

    def close(self) -> None:
        pass


def chat(text: str) -> ChatRequest:
    return ChatRequest("m", (Message("user", text),), trial=4)


def parse(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ReplyFault("not a\nnumber") from None


def ask(
    tmp_path: Path, provider: Script, texts: Sequence[str], max_repeats: int = 2
) -> list[Validated[int] | InvalidReply]:
    ledger = Ledger(f"sqlite:///{tmp_path}/calls.sqlite")
    with ledger, ModelCalls(ledger, "p", lambda: provider, USE) as calls:
        return ask_validated(calls, [chat(text) for text in texts], parse, max_repeats)


def test_good_replies_take_one_round(tmp_path: Path) -> None:
    results = ask(tmp_path, Script({"a": ["1"], "b": ["2"]}), ["a", "b", "a"])
    assert results == [
        Validated(1, chat("a").call_id, 0), Validated(2, chat("b").call_id, 0), Validated(1, chat("a").call_id, 0),
    ]  # fmt: skip
    assert ask(tmp_path, Script({}), []) == []


def test_a_broken_reply_is_asked_for_again_with_its_fault_named(tmp_path: Path) -> None:
    provider = Script({"a": ["x", "7"], "b": ["2"]})
    results = ask(tmp_path, provider, ["a", "b"])
    repeat = provider.asked[2]
    assert len(provider.asked) == 3
    assert [message.role for message in repeat.messages] == ["user", "assistant", "user"]
    assert repeat.messages[1].content == "x"
    assert "not a number" in repeat.messages[2].content
    assert repeat.trial == 4
    assert results == [Validated(7, repeat.call_id, 1), Validated(2, chat("b").call_id, 0)]


def test_every_repeat_is_another_call_even_if_the_reply_is_the_same(tmp_path: Path) -> None:
    provider = Script({"a": ["x"]})
    [result] = ask(tmp_path, provider, ["a"])
    ids = [request.call_id for request in provider.asked]
    assert len(set(ids)) == 3
    assert result == InvalidReply("invalid_reply", "not a number", "x", tuple(ids))


def test_no_repeats_allowed(tmp_path: Path) -> None:
    provider = Script({"a": ["x", "7"]})
    [result] = ask(tmp_path, provider, ["a"], max_repeats=0)
    assert result == InvalidReply("invalid_reply", "not a number", "x", (chat("a").call_id,))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (ChatReply("x", finish_reason="length"), "truncated_reply"),
        (ChatReply(" \n"), "empty_reply"),
        (ChatReply("", finish_reason="length"), "truncated_reply"),
        (ChatReply("x", finish_reason="content_filter"), "content_filter"),
        (ChatReply("x", finish_reason="stop"), "invalid_reply"),
    ],
)
def test_the_reason_names_what_was_wrong_with_the_last_reply(tmp_path: Path, reply: ChatReply, reason: str) -> None:
    [result] = ask(tmp_path, Script({"a": [reply]}), ["a"])
    assert isinstance(result, InvalidReply)
    assert (result.reason, result.raw_reply) == (reason, reply.text)


def test_a_truncated_reply_is_asked_to_be_briefer(tmp_path: Path) -> None:
    provider = Script({"a": [ChatReply("x", finish_reason="length"), "7"]})
    [result] = ask(tmp_path, provider, ["a"])
    assert isinstance(result, Validated)
    assert "cut off" in provider.asked[1].messages[2].content


def test_a_failed_call_is_not_repeated(tmp_path: Path) -> None:
    provider = Script({"a": [CallFailure("rate_limited", "slow down")], "b": ["x", CallFailure("timeout", "gone")]})
    results = ask(tmp_path, provider, ["a", "b"])
    assert results[0] == InvalidReply("rate_limited", "slow down", "", (chat("a").call_id,))
    assert results[1] == InvalidReply("timeout", "gone", "x", (chat("b").call_id, provider.asked[2].call_id))


def test_a_long_broken_reply_is_shown_in_part_and_kept_whole(tmp_path: Path) -> None:
    provider = Script({"a": ["x" * 5000]})
    [result] = ask(tmp_path, provider, ["a"], max_repeats=1)
    assert len(provider.asked[1].messages[1].content) == 2000
    assert isinstance(result, InvalidReply)
    assert result.raw_reply == "x" * 5000


def test_an_empty_reply_is_shown_as_such(tmp_path: Path) -> None:
    provider = Script({"a": ["", "7"]})
    assert isinstance(ask(tmp_path, provider, ["a"])[0], Validated)
    assert provider.asked[1].messages[1].content == "(no reply)"


def test_thoughts_are_neither_parsed_nor_sent_back(tmp_path: Path) -> None:
    provider = Script({"a": ["<think>1</think>\nx", "<think>2</think> 7 "]})
    [result] = ask(tmp_path, provider, ["a"])
    assert isinstance(result, Validated)
    assert result.record == 7
    assert provider.asked[1].messages[1].content == "x"


def test_thinking_that_never_ends_is_no_reply_and_not_sent_back(tmp_path: Path) -> None:
    provider = Script({"a": ["<think>7", "7"], "b": ["<think>7"]})
    good, bad = ask(tmp_path, provider, ["a", "b"])
    repeat = provider.asked[2]
    assert isinstance(good, Validated)
    assert repeat.messages[1].content == "(no reply)"
    assert "ends inside its thinking" in repeat.messages[2].content
    assert isinstance(bad, InvalidReply)
    assert (bad.reason, bad.raw_reply) == ("invalid_reply", "<think>7")


def test_a_mark_of_thinking_in_a_json_text_is_kept(tmp_path: Path) -> None:
    def parse_text(text: str) -> str:
        return text

    reply = '{"evidence": "It writes </think> early."}'
    ledger = Ledger(f"sqlite:///{tmp_path}/calls.sqlite")
    with ledger, ModelCalls(ledger, "p", lambda: Script({"a": [f"<think>x</think>{reply}"]}), USE) as calls:
        [result] = ask_validated(calls, [chat("a")], parse_text, 0)
    assert result == Validated(reply, chat("a").call_id, 0)


def test_a_second_run_replays_the_whole_chain(tmp_path: Path) -> None:
    first = ask(tmp_path, Script({"a": ["x", "7"], "b": ["x"]}), ["a", "b"])
    silent = Script({})
    assert ask(tmp_path, silent, ["a", "b"]) == first
    assert silent.asked == []


def test_a_reply_that_came_as_reasoning_is_read(tmp_path: Path) -> None:
    """Some servers put the whole reply into reasoning_content and leave the content empty."""
    script = {
        "a": [ChatReply("", reasoning="5")],
        "b": [ChatReply(" \n", reasoning="<think>hm</think>6")],
        "c": [ChatReply("7", reasoning="5")],
    }
    results = ask(tmp_path, Script(script), list(script))
    assert [result.record for result in results if isinstance(result, Validated)] == [5, 6, 7]
