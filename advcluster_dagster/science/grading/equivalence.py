"""Messages to a member of the judge panel and the parsing of replies (paper section 3.2.1)."""

from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool

from advcluster_dagster.science.copied_texts import is_form_text
from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    fill_template,
    read_reply,
    unwrap_record,
    validate_record,
)

#: Longer answers are cut to their end, where the final answer is, so that they do not fill the prompt.
MAX_SHOWN_CHARACTERS = 1_000
#: Placeholder texts of the prompt (``prompts/equivalence.md``); a reply that repeats them has no content.
FORM_TEXTS = ("one sentence",)
_TRUTH = {"true": True, "false": False}
_LEFT_OUT = "[...] "


class EquivalenceReply(BaseModel):
    """A valid reply: whether the two answers mean the same, and why."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str
    same: StrictBool


def equivalence_messages(
    template: PromptTemplate, question: str, gold: str, prediction: str
) -> tuple[Message, Message]:
    """Ask whether a prediction means the same as the gold answer; all texts are fenced as data."""
    return fill_template(
        template, plain={}, fenced={"question": question, "reference": _end(gold), "given": _end(prediction)}
    )


def _end(answer: str) -> str:
    return answer if len(answer) <= MAX_SHOWN_CHARACTERS else _LEFT_OUT + answer[-MAX_SHOWN_CHARACTERS:]


def parse_equivalence_reply(text: str) -> EquivalenceReply:
    """Parse a reply.

    Raises:
        ReplyFault: no complete JSON object, `same` is neither true nor false, or the reason is a placeholder of the
            reply form.
    """
    return read_reply(text, lambda value: unwrap_record(value, EquivalenceReply, _read_record))


def _read_record(value: Any) -> EquivalenceReply:
    if isinstance(value, dict) and isinstance(value.get("same"), str):
        value = {**value, "same": _TRUTH.get(value["same"].strip().lower(), value["same"])}
    reply = validate_record(EquivalenceReply, value)
    if reply.reason and is_form_text(reply.reason, (*FORM_TEXTS, "reason")):
        raise ReplyFault(f"reason: {reply.reason[:60]!r} is a text of the reply form, not a reason")
    return reply
