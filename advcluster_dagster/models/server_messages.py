"""Extract a server's error message from bodies of any format, and its retry delay."""

import codecs
import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any, Protocol

_MOST_WORDS = 4000
_MOST_READ = 200_000
_MOST_MARKUP = 20_000
_DEEPEST = 8
_MOST_ITEMS = 8
#: Keys of human-readable messages, in the order in which the messages are joined.
_WORD_NAMES = (
    "title", "message", "msg", "errormessage", "detail", "details", "error", "errordescription", "description",
    "errors", "reason", "fault", "faultstring", "cause", "innererror", "metadata", "raw", "fieldviolations",
    "invalidparams",
)  # fmt: skip
_CODE_NAMES = ("code", "type", "status", "errortype", "errorcode", "reason")
#: Keys under which pydantic and others echo the request; long and uninformative.
_ECHOES = {"input", "ctx", "url", "request", "trace", "stack", "traceback", "instance", "documentationurl"}
_HTML = re.compile(r"^\s*(<!doctype|<\?xml|<[a-z][\w:.-]*[\s/>])", re.IGNORECASE)
_HIDDEN = {"script", "style", "template", "noscript", "svg"}
_DELAY = re.compile(r"\s*(-?\d{1,18}(?:\.\d*)?|\.\d+)\s*(ms|s|sec|seconds?)?\s*", re.IGNORECASE)


class Response(Protocol):
    """The parts of an HTTP client's response that are used here."""

    @property
    def status_code(self) -> int:
        """HTTP status."""
        ...

    @property
    def content(self) -> bytes:
        """Decoded body."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, with case-insensitive names."""
        ...


def read_body(response: Response) -> Any:
    """A response's JSON data, else its text; "" if the body was not read or cannot be decompressed."""
    try:
        content = response.content
    except Exception:  # clients raise different errors for a missing body
        return ""
    text = _decode(content, response.headers.get("content-type", ""))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def server_message(body: Any, status: int | None = None) -> str:
    """The human-readable message of an error body, at most 4,000 characters, with line breaks; the key is not masked.

    For JSON the messages with the parameter they refer to, for HTML the visible text, for a body without text the name
    of the status.

    Args:
        body: JSON data or text, as returned by :func:`read_body`.
        status: HTTP status; None if the body is not from a response.
    """
    words = _words(body, 0) if isinstance(body, str) else _words(body, 0) or _as_json(body)
    return words[:_MOST_WORDS] or _status_words(status)


def error_codes(body: Any) -> set[str]:
    """Machine-readable codes and types in an error body, as strings."""
    return set(_codes(body, 0))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry delay requested by the server, seconds, the longest if several are given; None without a valid one.

    Negative for a date in the past.
    """
    delays = [_seconds(value, 0.001) for value in _values(headers, "retry-after-ms")]
    delays += [_seconds(value, 1.0) for value in _values(headers, "retry-after")]
    return max((seconds for seconds in delays if seconds is not None), default=None)


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    get_list = getattr(headers, "get_list", None)
    values = get_list(name) if get_list else [headers[name]] if name in headers else []
    return [str(value) for value in values]


def _seconds(value: str, unit: float) -> float | None:
    """Seconds of a number with or without unit, or until a date (GMT if it has no time zone); None if invalid."""
    parts = [_DELAY.fullmatch(part) for part in value.split(",")]
    numbers = [(part[1], part[2]) for part in parts if part]
    if numbers and len(numbers) == len(parts):
        return max(
            float(number) * ((0.001 if unit_name.lower() == "ms" else 1.0) if unit_name else unit)
            for number, unit_name in numbers
        )
    try:
        seconds = float(value)
        return seconds * unit if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError):
        return None


def _decode(content: bytes, content_type: str) -> str:
    """Decode text by its byte order mark, as UTF-8, by the header's charset, else leniently as cp1252."""
    named = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", content_type, re.IGNORECASE)
    guesses = [json.detect_encoding(content[:4])] if b"\0" in content[:4] or _has_mark(content) else []
    for encoding in (*guesses, "utf-8-sig", *([named[1]] if named else [])):
        try:
            return content.decode(encoding)
        except (LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")


def _has_mark(content: bytes) -> bool:
    return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF8))


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return _words_of_text(value, depth)
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return _joined(_words(item, depth + 1) for item in value[:_MOST_ITEMS])
    return _words_of_object(value, depth) if isinstance(value, dict) else ""


def _words_of_text(text: str, depth: int) -> str:
    """Text without markup; embedded JSON, such as an upstream error passed on by a gateway, is parsed recursively."""
    text = text[:_MOST_READ].strip()
    if text.startswith(("{", "[")) and depth <= _DEEPEST:
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return _words(inner, depth + 1) or text
    if _HTML.match(text):
        return _visible_text(text)
    n_odd = sum(not (letter.isprintable() or letter.isspace()) or letter == "\ufffd" for letter in text[:1000])
    return "" if n_odd > 0.1 * len(text[:1000]) else text


def _words_of_object(value: dict[Any, Any], depth: int) -> str:
    named = {_squashed(name): item for name, item in value.items()}
    words = _joined(_words(named[name], depth + 1) for name in _WORD_NAMES if name in named)
    if not words:
        rest = list(value.items())[:_MOST_ITEMS]
        return _joined(_labelled(str(name), item, depth) for name, item in rest if _squashed(name) not in _ECHOES)
    place = named.get("loc", named.get("param", named.get("field", named.get("pointer"))))
    place = ".".join(str(part) for part in place) if isinstance(place, list) else place
    kind = named.get("type") if "loc" in named else named.get("code")
    if isinstance(kind, str) and not kind.isdigit() and kind.lower() not in words.lower():
        words = f"{words} ({kind})"
    return f"{place}: {words}" if isinstance(place, str) and place and place.lower() not in words.lower() else words


def _labelled(name: str, item: Any, depth: int) -> str:
    """Message of an item with an unknown key, as ``name: message``."""
    words = _words(item, depth + 1)
    return f"{name}: {words}" if words else ""


def _joined(parts: Iterable[str]) -> str:
    """Join the parts with "; ", skipping those contained in the text so far."""
    text = ""
    for part in parts:
        if part and part not in text:
            text = f"{text}; {part}" if text else part
    return text


def _codes(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, list) and depth < _DEEPEST:
        for item in value[:_MOST_ITEMS]:
            yield from _codes(item, depth + 1)
    if not isinstance(value, dict) or depth >= _DEEPEST:
        return
    for name, item in value.items():
        if _squashed(name) in _CODE_NAMES and isinstance(item, str | int) and not isinstance(item, bool):
            yield str(item)
        elif isinstance(item, dict | list):
            yield from _codes(item, depth + 1)


def _squashed(name: object) -> str:
    return re.sub(r"[\W_]", "", str(name)).lower()


def _as_json(body: Any) -> str:
    """JSON text of a body without known message keys; "" if the body is empty."""
    return "" if body in (None, "", [], {}) else json.dumps(body, ensure_ascii=False, default=str)[:_MOST_WORDS]


def _status_words(status: int | None) -> str:
    if status is None:
        return ""
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}, without a message"
    except ValueError:
        return f"HTTP {status}, without a message"


class _VisibleText(HTMLParser):
    """Collects the text that a browser would show, the title first."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Track the start of a hidden element."""
        if tag in _HIDDEN:
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Track the end of a hidden element."""
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]

    def handle_data(self, data: str) -> None:
        """Collect visible text."""
        if data.strip() and not self._hidden:
            self.parts.append(" ".join(data.split()))


def _visible_text(markup: str) -> str:
    parser = _VisibleText()
    try:
        parser.feed(markup[:_MOST_MARKUP])
        parser.close()
    except AssertionError:  # a declaration that the parser does not know
        return re.sub(r"<[^>]{0,200}>", " ", markup[:_MOST_MARKUP])
    return " ".join(dict.fromkeys(parser.parts))
