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
from advcluster_dagster.science.thinking import MARK, find_after_thinking

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)

_FENCED = re.compile(r"<<<(?P<name>[a-z_]+) (?P<token>[0-9a-f]{12})\n(?P<text>.*?)\n(?P=name) (?P=token)>>>", re.DOTALL)
# Control characters except tab and line break, and lone surrogates.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_JSON = "the reply holds no complete JSON object"
UNENDED_THINKING = "the reply ends inside its thinking, with no answer behind it"
_MAX_FAULTS = 3
_LENGTH_KEYWORDS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_CONTEXT_CHARACTERS = 25
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


class ReplyFault(ValueError):  # noqa: N818 - a fault of the reply, not a program error
    """A judge's reply is unusable; the message states the reason and can be sent back to the judge."""


def parse_template(name: str, text: str) -> PromptTemplate:
    """Split a prompt file at its line ``===``.

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
    """Fill a template with ``plain`` values, and with ``fenced`` values between marks that no fenced text contains.

    The marks carry a token hashed from all fenced texts, so equal inputs give equal messages and no text can close
    its own fence. Placeholders inside a value are not expanded.

    Raises:
        ValueError: a placeholder has no value, or a value has no placeholder.
    """
    values = {**plain, **fence(fenced)}
    needed = set(_PLACEHOLDER.findall(template.user))
    if needed != set(values):
        raise ValueError(f"prompt {template.name}: placeholders {sorted(needed)} do not match values {sorted(values)}")
    user = _PLACEHOLDER.sub(lambda match: values[match[1]], template.user)
    return Message("system", template.system), Message("user", user)


def fence(texts: Mapping[str, str]) -> dict[str, str]:
    """Put each text between ``<<<name token`` and ``name token>>>``; no text contains the token (12 hex digits)."""
    token = hashlib.sha256(json.dumps(dict(texts)).encode()).hexdigest()
    while any(token[:12] in text for text in texts.values()):
        token = hashlib.sha256(token.encode()).hexdigest()
    return {name: f"<<<{name} {token[:12]}\n{text}\n{name} {token[:12]}>>>" for name, text in texts.items()}


def wire_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of a reply as sent to servers: every field required, without length keywords.

    Servers reject length keywords or exhaust their token limit on them; lengths are checked when parsing the reply.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        cleaned = {key: plain(item) for key, item in value.items() if key not in _LENGTH_KEYWORDS}
        if isinstance(cleaned.get("properties"), dict):
            cleaned["required"] = list(cleaned["properties"])
            for field in cleaned["properties"].values():
                field.pop("default", None)
        return cleaned

    schema: dict[str, Any] = plain(model.model_json_schema())
    return schema


def read_fenced(content: str) -> dict[str, str]:
    """Extract the fenced texts of a message by name; the inverse of :func:`fence`."""
    return {match["name"]: match["text"] for match in _FENCED.finditer(content)}


def answer_text(reply: str) -> str | None:
    """The text of a reply after its thinking, stripped; None if thinking is opened and never closed.

    Marks of thinking inside JSON values are data.
    """
    span = find_after_thinking(reply, find_values(reply).spans if MARK.search(reply) else ())
    return None if span is None else reply[slice(*span)].strip()


def parse_json_reply(text: str) -> Any:
    """Parse the last complete JSON object or array of a reply leniently: bare, in a code fence or in prose.

    Raises:
        ReplyFault: there is none, or the thinking is never closed.
    """
    return read_reply(text, lambda value: value)


def read_reply(text: str, read: Callable[[Any], T]) -> T:
    """Convert the last readable JSON value of a reply; earlier values are drafts, templates or quotations.

    Args:
        text: The reply.
        read: Converts a JSON object or array to a record, or raises :class:`ReplyFault`.

    Raises:
        ReplyFault: the thinking is never closed; no value is complete (with JSON's error and its position); or the
            fault of the last value.
    """
    answer = answer_text(text)
    if answer is None:
        raise ReplyFault(UNENDED_THINKING)
    answer = _decoded_once(answer)
    values = find_values(answer)
    fault: ReplyFault | None = None
    # Values without objects, such as lists of numbers, are tried last.
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
    """Validate a JSON value as a record: keys in any case, extra keys ignored, carriage returns as line breaks.

    Raises:
        ReplyFault: the value does not match the record, or a text in it contains a control character other than line
            break and tab, or a lone surrogate.
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
    """Read a value, or its only item if the key is not a field of the record, as in ``{"result": {...}}``."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if isinstance(inner, dict | list) and _plain_key(key) not in model.model_fields:
            return read(inner)
    return read(value)


def name_fields(model: type[BaseModel], value: Mapping[str, Any]) -> dict[str, Any]:
    """Rename keys to the record's fields: ``Failure Stage`` becomes ``failure_stage``."""
    renamed = {key: _plain_key(key) for key in value if key not in model.model_fields}
    return {**{new: value[old] for old, new in renamed.items()}, **{k: v for k, v in value.items() if k not in renamed}}


def describe_fault(error: ValidationError) -> str:
    """Describe the first three faults of a validation at most in one line, each with its location."""
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'the reply'}: {fault['msg']}"
        for fault in error.errors()[:_MAX_FAULTS]
    )


def _decoded_once(answer: str) -> str:
    """Decode a reply that is a single JSON string; return any other reply unchanged."""
    try:
        value, end = read_value(answer, 0) if answer.startswith('"') else (None, 0)
    except BrokenJson:
        return answer
    return value if isinstance(value, str) and end == len(answer) else answer


def _holds_object(value: Any) -> bool:
    return bool(value) if isinstance(value, dict) else any(isinstance(item, dict) for item in value)


def _with_place(broken: BrokenJson, text: str) -> str:
    """JSON's error message with line and column, and the surrounding text."""
    place = json.JSONDecodeError(broken.problem, text, broken.position)
    near = " ".join(text[max(broken.position - _CONTEXT_CHARACTERS, 0) : broken.position + _CONTEXT_CHARACTERS].split())
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
    """Yield the texts of a record with their locations."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*place, str(key)))
