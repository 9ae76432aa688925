"""Parse the extractor's replies, and check advantages against the style rules (paper section 3.2.2, appendices A.2.1,
A.5).
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS, ErrorStage
from advcluster_dagster.science.copied_texts import is_form_text, is_same_text, words_of
from advcluster_dagster.science.prompting import ReplyFault, name_fields, read_reply, unwrap_record, validate_record

MAX_ADVANTAGE_WORDS = 10
#: Placeholder texts of the prompt (``prompts/extraction.md``); a reply that repeats them has no content.
FORM_TEXTS = (
    "Reading | Comprehension | Transformation | Process Skills | Encoding",
    "what goes wrong first",
    "General: a skill that could be named for any subject. No number, quantity, name or object of this problem.",
    'The first word is an action verb in the third person, such as "Tracks" or "Verifies".',
    "At most 10 words.",
    'None of these: "Model_A", "Model_B", "The model", "Correctly".',
    "describes the exact contrast between the two solutions that shows the skill",
    "passage of Model_B's solution",
    "give 2 to 5 reasoning skills that let Model_A succeed, each with its evidence",
    "say in one or two sentences what fails there",
)
#: Fields of an advantage that replies may give as a list of texts, or as null if there is no quote.
_TEXT_FIELDS = ("evidence", "larger_quote", "smaller_quote")
_FIELDS = ("advantage", "evidence", "failure description", "failure stage")
_FORBIDDEN = ("model_a", "model_b", "the model", "correctly")
_THIRD_PERSON_VERB = re.compile(r"^[A-Z][a-z]+(?:-[a-z]+)*s$")
_STAGE_NUMBER = re.compile(r"([1-5])(?:\W+|$)")
_BEFORE_STAGE = re.compile(r"(?:\W+|(?:the|newman(?:\W?s)?|error|failure|stage|step|level)(?![a-z]))*")
_SUBJECT = ("model", "a")
_MAX_FAULTS = 3


class ExtractedAdvantage(BaseModel):
    """One advantage description and the contrast that shows it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    advantage: str = Field(min_length=1)
    evidence: str = Field(min_length=1)
    larger_quote: str = ""
    smaller_quote: str = ""


class ExtractionReply(BaseModel):
    """A valid reply: the first error of the smaller model and 2 to 5 advantages of the larger one."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    failure_stage: ErrorStage
    failure_quote: str = ""
    failure_description: str = Field(min_length=1)
    advantages: list[ExtractedAdvantage] = Field(min_length=2, max_length=5)


def parse_extraction_reply(text: str) -> ExtractionReply:
    """Parse a reply: this project's object, or the paper's list of ``failure`` and ``advantage`` objects.

    The last valid value counts. Stages may include their number; evidence may be a list of texts.

    Raises:
        ReplyFault: no complete JSON, not exactly one failure, an unknown stage, fewer than 2 or more than 5 advantages,
            a text copied from the reply form, a repeated advantage, or evidence that only repeats its advantage.
    """
    return read_reply(text, lambda value: unwrap_record(value, ExtractionReply, _read_record))


def style_violations(advantage: str) -> list[str]:
    """Names of the style rules that an advantage text violates, in fixed order.

    ``too_long`` (over 10 words), ``forbidden_word``, ``no_action_verb`` (the first word does not have the form of a
    third-person verb or an -ing form; no dictionary is used), ``quantity`` (contains a digit). Paper appendix A.2.1.
    """
    words = advantage.split()
    flags = []
    if len(words) > MAX_ADVANTAGE_WORDS:
        flags.append("too_long")
    if any(re.search(rf"\b{word}\b", advantage.lower()) for word in _FORBIDDEN):
        flags.append("forbidden_word")
    if not words or not (_THIRD_PERSON_VERB.match(words[0]) or re.match(r"^[A-Z][a-z]+ing$", words[0])):
        flags.append("no_action_verb")
    if re.search(r"\d", advantage):
        flags.append("quantity")
    return flags


def _read_record(value: Any) -> ExtractionReply:
    if isinstance(value, list):
        value = _from_typed_list(value)
    if isinstance(value, dict):
        value = _spelt_out(name_fields(ExtractionReply, value))
    reply = validate_record(ExtractionReply, value)
    if faults := list(_copies(reply)):
        raise ReplyFault("; ".join(faults[:_MAX_FAULTS]))
    return reply


def _spelt_out(value: dict[str, Any]) -> dict[str, Any]:
    """Normalise the stage's spelling and join texts given as lists."""
    if isinstance(stage := value.get("failure_stage"), str):
        value["failure_stage"] = _stage_name(stage)
    value["failure_description"] = _joined(value.get("failure_description"))
    if "failure_quote" in value:
        value["failure_quote"] = _joined(value["failure_quote"])
    if isinstance(items := value.get("advantages"), list):
        value["advantages"] = [
            {**fields, **{field: _joined(fields[field]) for field in _TEXT_FIELDS if field in fields}}
            if isinstance(item, dict) and (fields := name_fields(ExtractedAdvantage, item))
            else item
            for item in items
        ]
    return value


def _joined(value: Any) -> Any:
    """Join a list of texts by line breaks; an empty text for null, other values unchanged."""
    if value is None:
        return ""
    is_list = isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)
    return "\n".join(part.strip() for part in value) if is_list else value


def _stage_name(text: str) -> str:
    """Normalise the spelling of a stage.

    Any case and separators; a number may precede or replace the name, an explanation may follow. A text that names no
    stage, several stages, or a stage that contradicts the number is returned unchanged.
    """
    plain = _BEFORE_STAGE.sub("", text.strip().lower(), count=1)
    number = _STAGE_NUMBER.match(plain)
    rest = plain[number.end() :] if number else plain
    named = [name for name in STAGE_DEPTHS if re.search(_stage_pattern(name), rest)]
    if number and not rest:
        return next(name for name, depth in STAGE_DEPTHS.items() if depth == int(number[1]))
    if len(named) != 1 or not re.match(rf"\W*{_stage_pattern(named[0])}", rest):
        return text
    return named[0] if number is None or STAGE_DEPTHS[named[0]] == int(number[1]) else text


def _stage_pattern(name: str) -> str:
    """Pattern of a stage's name as a word, with any separators, singular or plural."""
    return rf"(?<![a-z]){'[^a-z0-9]*'.join(name.lower().removesuffix('s').split())}s?(?![a-z])"


def _from_typed_list(items: list[Any]) -> dict[str, Any]:
    """Convert the paper's list of typed objects to this project's object."""
    typed = [(str(item.get("type")).strip().lower(), item) if isinstance(item, dict) else ("", item) for item in items]
    failures = [item for kind, item in typed if kind == "failure"]
    if len(failures) != 1:
        raise ReplyFault(f"expected exactly one failure object, found {len(failures)}")
    advantages = [item for kind, item in typed if kind == "advantage"]
    if len(advantages) != len(items) - 1:
        raise ReplyFault("every object of the list must have the type failure or advantage")
    return {**failures[0], "advantages": advantages}


def _copies(reply: ExtractionReply) -> Iterator[str]:
    """Yield faults of texts copied from the form or from another text of the reply."""
    form = (*FORM_TEXTS, *_FIELDS)
    if is_form_text(reply.failure_description, form):
        yield _form_fault("failure_description", reply.failure_description)
    texts = [item.advantage for item in reply.advantages]
    for index, item in enumerate(reply.advantages):
        place = f"advantages.{index}"
        if is_form_text(item.advantage, form):
            yield _form_fault(f"{place}.advantage", item.advantage)
        elif earlier := [i for i, text in enumerate(texts[:index]) if is_same_text(text, item.advantage)]:
            yield f"{place}.advantage: is the same as advantages.{earlier[0]}.advantage"
        if is_form_text(item.evidence, form):
            yield _form_fault(f"{place}.evidence", item.evidence)
        elif _adds_nothing(item):
            yield f"{place}.evidence: only repeats the advantage; quote or describe the contrast that shows it"


def _form_fault(place: str, text: str) -> str:
    return f"{place}: {text[:60]!r} is a text of the reply form, not content"


def _adds_nothing(item: ExtractedAdvantage) -> bool:
    """Whether the evidence repeats the advantage or a part of it, possibly with Model_A as its subject."""
    evidence, advantage = words_of(item.evidence), words_of(item.advantage)
    if evidence[:2] == _SUBJECT:
        evidence = evidence[2:]
    return is_same_text(item.evidence, item.advantage) or f" {' '.join(evidence)} " in f" {' '.join(advantage)} "
