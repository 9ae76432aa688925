"""Prompt templates, fences around untrusted text, and parsing of JSON records in replies."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from advcluster_dagster.science.json_values import find_values
from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import MARK, find_behind_thinking

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)

_FENCED = re.compile(r"<<<(?P<name>[a-z_]+) (?P<token>[0-9a-f]{12})\n(?P<text>.*?)\n(?P=name) (?P=token)>>>", re.DOTALL)
# Control characters but tab and line break, and halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_JSON = "the reply holds no complete JSON object"
UNENDED_THINKING = "the reply ends inside its thinking, with no answer behind it"
_MOST_FAULTS = 3
_LENGTH_KEYWORDS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_SHOWN = 25
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt's name, its two messages with ``{{placeholders}}``, and the sha256 of its file (64 hex digits)."""

    name: str
    system: str
    user: str
    sha256: str


@dataclass(frozen=True)
class Message:
    """One chat message; ``role`` is ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


class ReplyFault(ValueError):  # noqa: N818 - a fault of the reply, not an error of ours
    """A judge's reply cannot be used; the message says why in words that can be sent back to it."""


def parse_template(name: str, text: str) -> PromptTemplate:
    """Split a prompt file at its line of three equals signs.

    Raises:
        ValueError: the file has no such line, or more than one.
    """
    parts = re.split(r"(?m)^===\n", text)
    if len(parts) != 2:
        raise ValueError(f"prompt {name}: expected one line '===' between its messages, found {len(parts) - 1}")
    return PromptTemplate(name, parts[0].strip(), parts[1].strip(), hashlib.sha256(text.encode()).hexdigest())


def fill_template(
    template: PromptTemplate, plain: Mapping[str, str], fenced: Mapping[str, str]
) -> tuple[Message, Message]:
    """Fill a template: ``plain`` values as they are, ``fenced`` values between marks that their text cannot contain.

    The mark carries a token hashed from all fenced texts, so that equal inputs give equal messages and no text can
    close its own fence. Placeholders inside a value are not expanded.

    Raises:
        ValueError: a placeholder has no value, or a value no placeholder.
    """
    values = {**plain, **fence(fenced)}
    needed = set(_PLACEHOLDER.findall(template.user))
    if needed != set(values):
        raise ValueError(f"prompt {template.name}: placeholders {sorted(needed)} do not match values {sorted(values)}")
    user = _PLACEHOLDER.sub(lambda match: values[match[1]], template.user)
    return Message("system", template.system), Message("user", user)


def fence(texts: Mapping[str, str]) -> dict[str, str]:
    """Put each text between ``<<<name token`` and ``name token>>>`` (token: 12 hex digits found in none of the
    texts).
    """
    token = hashlib.sha256(json.dumps(dict(texts)).encode()).hexdigest()
    while any(token[:12] in text for text in texts.values()):
        token = hashlib.sha256(token.encode()).hexdigest()
    return {name: f"<<<{name} {token[:12]}\n{text}\n{name} {token[:12]}>>>" for name, text in texts.items()}


def wire_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a reply as it is sent: every field required, no keyword that limits a length.

    Servers refuse length keywords or spend their whole token limit on them; lengths are checked when the reply is read.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        kept = {key: plain(item) for key, item in value.items() if key not in _LENGTH_KEYWORDS}
        if isinstance(kept.get("properties"), dict):
            kept["required"] = list(kept["properties"])
            for field in kept["properties"].values():
                field.pop("default", None)
        return kept

    schema: dict[str, Any] = plain(model.model_json_schema())
    return schema


def read_fenced(content: str) -> dict[str, str]:
    """The fenced texts of a message by name; the inverse of :func:`fence`."""
    return {match["name"]: match["text"] for match in _FENCED.finditer(content)}


def answer_text(reply: str) -> str | None:
    """The text of a reply behind its thinking, stripped; None where thinking was opened and never closed.

    A mark of thinking that stands in a JSON value is data.
    """
    span = find_behind_thinking(reply, find_values(reply).spans if MARK.search(reply) else ())
    return None if span is None else reply[slice(*span)].strip()


def parse_json_reply(text: str) -> Any:
    """The last complete JSON object or array of a reply, read leniently: bare, in a code fence or in prose.

    Raises:
        ReplyFault: there is none, or thinking was never ended.
    """
    return read_reply(text, lambda value: value)


def read_reply(text: str, read: Callable[[Any], T]) -> T:
    """What the last value of a reply that can be read becomes; earlier ones are drafts, templates or quotations.

    Args:
        text: the reply.
        read: makes a record of a JSON object or array, or raises :class:`ReplyFault`.

    Raises:
        ReplyFault: thinking was never ended; no value is complete, with JSON's own error and its place; or what is
            wrong with the last value.
    """
    answer = answer_text(text)
    if answer is None:
        raise ReplyFault(UNENDED_THINKING)
    answer = _decoded_once(answer)
    values = find_values(answer)
    fault: ReplyFault | None = None
    # Empty objects, lists of numbers and the like are no replies, unless there is nothing else.
    for candidate in sorted(
        values.complete, key=lambda candidate: (_holds_object(candidate.value), candidate.start), reverse=True
    ):
        try:
            return read(candidate.value)
        except ReplyFault as error:
            fault = fault or error
    broken, last = values.broken, max((candidate.end for candidate in values.complete), default=0)
    if broken and (broken.position >= last if broken.has_string else not values.complete and answer[0] in "{["):
        raise ReplyFault(f"{_NO_JSON}: {_with_place(broken, answer)}")
    raise fault or ReplyFault(_NO_JSON)


def validate_record(model: type[R], value: Any) -> R:
    """A record of a JSON value: keys in any case, further keys ignored, carriage returns as line breaks.

    Raises:
        ReplyFault: the value does not fit the record, or a text of it holds a control character other than a line
            break or a tab, or half of a character that takes two.
    """
    if isinstance(value, dict):
        value = _with_line_breaks(name_fields(model, value))
        for place, text in _texts({key: value[key] for key in model.model_fields if key in value}, ()):
            if bad := _CONTROL.search(text):
                raise ReplyFault(
                    f"{'.'.join(place)}: holds the control character U+{ord(bad[0]):04X}; write each backslash of"
                    " LaTeX as two in JSON"
                )
    try:
        return model.model_validate(value, extra="ignore")
    except ValidationError as error:
        raise ReplyFault(describe_fault(error)) from None


def unwrap_record(value: Any, model: type[BaseModel], read: Callable[[Any], T]) -> T:
    """Read a value, or what stands alone under a key that is no field of the record, as in ``{"result": {...}}``."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if isinstance(inner, dict | list) and _plain_key(key) not in model.model_fields:
            return read(inner)
    return read(value)


def name_fields(model: type[BaseModel], value: Mapping[str, Any]) -> dict[str, Any]:
    """An object whose keys are spelt as the record's fields: ``Failure Stage`` is ``failure_stage``."""
    renamed = {key: _plain_key(key) for key in value if key not in model.model_fields}
    return {**{new: value[old] for old, new in renamed.items()}, **{k: v for k, v in value.items() if k not in renamed}}


def describe_fault(error: ValidationError) -> str:
    """The first faults of a validation in one line, at most three: where each stands and what is wrong."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'the reply'}: {fault['msg']}"
        for fault in error.errors()[:_MOST_FAULTS]
    )


def _decoded_once(answer: str) -> str:
    """What a reply says that is one JSON string as a whole; any other reply as it is."""
    try:
        value, end = read_value(answer, 0) if answer.startswith('"') else (None, 0)
    except BrokenJson:
        return answer
    return value if isinstance(value, str) and end == len(answer) else answer


def _holds_object(value: Any) -> bool:
    return bool(value) if isinstance(value, dict) else any(isinstance(item, dict) for item in value)


def _with_place(broken: BrokenJson, text: str) -> str:
    """JSON's own words, line and column, and the text around."""
    place = json.JSONDecodeError(broken.problem, text, broken.position)
    near = " ".join(text[max(broken.position - _SHOWN, 0) : broken.position + _SHOWN].split())
    return f"{place}, near {near!r}"


def _plain_key(key: str) -> str:
    return re.sub(r"[\s-]+", "_", key.strip().casefold())


def _with_line_breaks(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, dict):
        return {key: _with_line_breaks(item) for key, item in value.items()}
    return [_with_line_breaks(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts of a record, each with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*place, str(key)))
