"""What a member of the judge panel is asked, and what its reply becomes (paper section 3.2.1).

Here: the messages for one pair of final answers, the typed record of a reply. Not here: which pairs are asked about and
what the votes come to (panel.py), the wording (``prompts/equivalence.md``).
"""

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    describe_fault,
    fill_template,
    parse_json_reply,
)

#: Of a longer answer only the end is shown: there the answer stands, and a flood must not fill the prompt.
MAX_SHOWN_CHARACTERS = 1_000
_LEFT_OUT = "[...] "


class EquivalenceReply(BaseModel):
    """A valid reply: whether the two answers mean the same, and why."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: str
    same: StrictBool


def equivalence_messages(
    template: PromptTemplate, question: str, gold: str, prediction: str
) -> tuple[Message, Message]:
    """Ask whether a prediction means the same as the gold answer; the texts stand between fences, for they are data."""
    return fill_template(
        template, plain={}, fenced={"question": question, "reference": _end(gold), "given": _end(prediction)}
    )


def _end(answer: str) -> str:
    return answer if len(answer) <= MAX_SHOWN_CHARACTERS else _LEFT_OUT + answer[-MAX_SHOWN_CHARACTERS:]


def parse_equivalence_reply(text: str) -> EquivalenceReply:
    """Read a reply.

    Raises:
        ReplyFault: no JSON object, another field, or `same` is neither true nor false.
    """
    try:
        return EquivalenceReply.model_validate(parse_json_reply(text))
    except ValidationError as error:
        raise ReplyFault(describe_fault(error)) from None
