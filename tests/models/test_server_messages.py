"""Messages extracted from responses of any format, and their retry delays."""

import json
import math
import time
from dataclasses import dataclass, field
from email.utils import formatdate

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.models.failures import failure_reasons
from advcluster_dagster.models.faults import StatusFault
from advcluster_dagster.models.server_messages import error_codes, read_body, retry_after, server_message
from advcluster_dagster.printable import one_line

WORDS = "the prompt has 9000 tokens, 4096 fit"

JSON_BODIES = {
    "OpenAI": {"error": {"message": WORDS, "type": "invalid_request_error", "param": None, "code": None}},
    "error is text": {"error": WORDS},
    "error is a list of texts": {"error": [WORDS]},
    "detail is text": {"detail": WORDS},
    "detail within error": {"error": {"detail": WORDS}},
    "message": {"message": WORDS},
    "message in capitals": {"Message": WORDS, "__type": "ValidationException"},
    "vLLM before 0.10": {"object": "error", "message": WORDS, "type": "BadRequestError", "param": None, "code": 400},
    "Mistral": {"object": "error", "message": {"detail": [{"type": "value_error", "msg": WORDS, "loc": ["body"]}]}},
    "Anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": WORDS}},
    "errors": {"success": False, "errors": [{"code": 7003, "message": WORDS}]},
    "errors are texts": {"errors": [WORDS]},
    "problem+json": {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": WORDS},
    "a gateway that quotes": {"error": {"message": "Provider returned error", "metadata": {"raw": WORDS}}},
    "JSON in a message": {"error": {"message": json.dumps({"error": {"message": WORDS}})}},
    "OAuth": {"error": "invalid_request", "error_description": WORDS},
    "Google": {"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}},
    "Google's list": [{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}],
    "field violations": {"error": {"details": [{"fieldViolations": [{"field": "f", "description": WORDS}]}]}},
    "a fault": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "x"}}},
    "no name that is known": {"outcome": {"why": WORDS}},
    "a text": WORDS,
    "markup in a message": {"error": f"<html><body><p>{WORDS}</p></body></html>"},
    "true and text": {"error": True, "message": WORDS},
}


@pytest.mark.parametrize("body", JSON_BODIES.values(), ids=JSON_BODIES.keys())
def test_words_in_json_of_any_form(body: object) -> None:
    assert WORDS in server_message(body, 400)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "response_format"], "msg": "Extra inputs"}]},
            "body.response_format: Extra inputs (extra_forbidden)",
        ),
        (
            {"detail": [{"msg": "too long", "loc": ["body", "x", 0]}, {"msg": "too deep"}]},
            "body.x.0: too long; too deep",
        ),
        ({"error": {"message": "No such value", "param": "response_format"}}, "response_format: No such value"),
        ({"error": {"message": "No", "code": "unsupported_parameter"}}, "No (unsupported_parameter)"),
        ({"title": "Invalid", "errors": {"response_format": ["unsupported"]}}, "Invalid; response_format: unsupported"),
        ({"message": "same", "error": {"message": "same"}}, "same"),
        ({"error": {"code": 42}}, '{"error": {"code": 42}}'),
        ({"detail": [{"msg": "too long", "input": {"messages": ["secret"]}}]}, "too long"),
    ],
)
def test_what_the_words_are_about_is_said(body: object, words: str) -> None:
    assert server_message(body, 422) == words


@dataclass
class Raw:
    """The parts of a response that are read."""

    content: bytes
    content_type: str = "application/json"
    status_code: int = 400
    headers: httpx2.Headers = field(init=False)

    def __post_init__(self) -> None:
        self.headers = httpx2.Headers({"content-type": self.content_type})


PAGE = """<!DOCTYPE html><html><head><title>502 Bad Gateway</title><style>p {color: red}</style>
<script>alert("no")</script></head><body><h1>502 Bad Gateway</h1><hr>caf&eacute; &amp; <b>more</b></body></html>"""
UMLAUTS = '{"detail": "größer als erlaubt"}'


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (Raw(b"upstream connect error\r\n", "text/plain"), "upstream connect error"),
        (Raw(PAGE.encode(), "text/html"), "502 Bad Gateway café & more"),
        (Raw(b"<h1>Forbidden"), "Forbidden"),
        (Raw(b"<?xml version='1.0'?><Error><Code>Denied</Code><Message>no</Message></Error>", "text/xml"), "Denied no"),
        (Raw(b"<![x[ <p>odd</p>", "text/html"), "<![x[ <p>odd</p>"),
        (Raw(b""), "HTTP 400 Bad Request, without a message"),
        (Raw(b"", status_code=599), "HTTP 599, without a message"),
        (Raw(b"{}"), "HTTP 400 Bad Request, without a message"),
        (Raw(b"null"), "HTTP 400 Bad Request, without a message"),
        (Raw(b'"in quotes"'), "in quotes"),
        (Raw(b"<html><body></body></html>"), "HTTP 400 Bad Request, without a message"),
        (Raw(bytes(range(1, 32)) * 20), "HTTP 400 Bad Request, without a message"),
        (Raw(b"{broken"), "{broken"),
        (Raw(UMLAUTS.encode("utf-8")), "größer als erlaubt"),
        (Raw(UMLAUTS.encode("utf-8-sig")), "größer als erlaubt"),
        (Raw(UMLAUTS.encode("utf-16")), "größer als erlaubt"),
        (Raw(UMLAUTS.encode("utf-16-le")), "größer als erlaubt"),
        (Raw(UMLAUTS.encode("latin-1")), "größer als erlaubt"),
        (Raw("приве́т".encode("koi8-r", "ignore"), "text/plain; charset=koi8-r"), "привет"),
        (Raw("größer".encode("latin-1"), "text/plain; charset=no-such"), "größer"),
        (Raw("größer".encode("latin-1"), "text/plain; charset=rot13"), "größer"),
    ],
)
def test_words_of_bodies_that_are_no_json_or_no_utf8(response: Raw, words: str) -> None:
    assert server_message(read_body(response), response.status_code) == words


@pytest.mark.usefixtures("_no_collection")
def test_huge_and_deep_bodies_are_cut() -> None:
    assert len(server_message("x" * 10**7, 400)) == 4000
    assert len(server_message({"error": {"message": "x" * 10**7}}, 400)) == 4000
    deep: object = WORDS
    for _ in range(50):
        deep = {"error": deep}
    assert len(server_message(deep, 400)) <= 4000
    assert server_message(read_body(Raw(b"[" * 10**5)), 400).startswith("[[")
    many = {"errors": [{"message": f"m{number}"} for number in range(10**5)]}
    assert server_message(many, 400).startswith("m0; m1; ")
    assert len(server_message("<p>" * 10**6 + "end", 400)) <= 4000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "detail", "loc", "x"]), inner),
)


@given(json_values, st.none() | st.integers(0, 1000))
def test_any_json_has_words_of_bounded_length(body: object, status: int | None) -> None:
    words = server_message(body, status)
    assert len(words) <= 4000
    assert words or status is None
    assert error_codes(body) is not None


@given(st.binary(), st.text(max_size=20))
def test_any_bytes_can_be_read(content: bytes, charset: str) -> None:
    response = Raw(content, "text/plain")
    response.headers = httpx2.Headers(
        {"content-type": f"text/plain; charset={charset.encode('ascii', 'ignore').decode()}"}
    )
    assert server_message(read_body(response), 400)


def test_codes_are_gathered_from_all_levels() -> None:
    body = {"error": {"code": "a", "details": [{"reason": "b"}], "status": 429}, "type": "c", "ok": True}
    assert error_codes(body) == {"a", "b", "429", "c"}
    assert error_codes("text") == error_codes(None) == set()


def test_one_line_holds_no_control_characters() -> None:
    assert one_line("a\r\n\tb\x1b[31m\x00c\u202e d") == "a b [31m c d"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, -5.0),
        ({"retry-after": "2s"}, 2.0),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "1"}, 1.5),
        ({"retry-after": "5, 10"}, 10.0),
        ({"retry-after": "1e3"}, 1000.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "soon", "retry-after-ms": "100"}, 0.1),
    ],
)
def test_the_pause_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    delay = retry_after(httpx2.Headers(headers))
    assert delay == (seconds if seconds is None else pytest.approx(seconds))
    assert delay is None or math.isfinite(delay)


def test_a_header_that_comes_twice_asks_for_its_longest_pause() -> None:
    assert retry_after(httpx2.Headers([("retry-after", "3"), ("retry-after", "8"), ("retry-after", "x")])) == 8.0


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""])
def test_a_date_is_in_universal_time_unless_it_says_otherwise(zone: str) -> None:
    date = formatdate(time.time() + 60).replace("-0000", zone).strip()
    assert retry_after(httpx2.Headers({"retry-after": date})) == pytest.approx(60, abs=5)
    past = retry_after(httpx2.Headers({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    assert past is not None
    assert past < 0


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        ("The model `judge-7b` does not exist.", "model"),
        ("models/judge-7b is not found for API version v1beta", "model"),
        ("model 'x' not found, try pulling it first", "model"),
        ("No endpoints found for judge-7b.", "model"),
        ("The API deployment for this resource does not exist", "model"),
        ("judge-7b: nothing of that name", "model"),
        ("Not Found", "path"),
        ("404 Not Found nginx/1.25", "path"),
        ("404 page not found", "path"),
        ("File Not Found", "path"),
        ("Resource not found", "path"),
        ("Cannot POST /v1/models/judge-7b:generateContent", "path"),
        ("The requested URL /v1/v1/models/judge-7b was not found on this server.", "path"),
        ("Invalid URL (POST /v1/chat)", "path"),
        ("no such path /v1/v1/chat/completions", "path"),
        ("Method Not Allowed", "path"),
        (server_message(None, 404), "path"),
        (server_message(None, 405), "path"),
        ("gone fishing", "unclear"),
    ],
)
def test_an_unknown_model_is_told_from_a_wrong_address(message: str, missing: str) -> None:
    assert StatusFault(404, message).missing("judge-7b") == missing


def test_a_code_outranks_the_words() -> None:
    assert StatusFault(404, "Not Found", is_unknown_model=True).missing("m") == "model"


def test_reasons_are_counted_and_quoted() -> None:
    assert failure_reasons([]) == ""
    failures = [("bad_request", "no\nfield")] * 12 + [("timeout", "")] * 2
    assert failure_reasons(failures) == "bad_request (12): no field; timeout (2)"
    assert failure_reasons([("a", "x"), ("a", ""), ("a", "x")]) == "a (3): x (2), no detail (1)"
    # Five details: the three most frequent are listed, two failures have others.
    assert failure_reasons([("a", name) for name in "vvwwxxyz"]) == "a (8): v (2), w (2), x (2), others (2)"
    # Five reasons: the four most frequent are listed.
    assert failure_reasons([(name, "") for name in "aabbccdde"]) == "a (2); b (2); c (2); d (2); for other reasons (1)"
