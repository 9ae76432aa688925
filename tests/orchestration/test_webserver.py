"""Requests that the UI's web server accepts, tested as an ASGI application without a server."""

import asyncio

import pytest
from starlette.middleware.trustedhost import TrustedHostMiddleware

from advcluster_dagster.orchestration.webserver import SameOriginMiddleware, names_of

JSON = {"content-type": "application/json"}
OWN = {"origin": "http://127.0.0.1:3000"}


async def _page(scope, _receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})


def ask(method, path="/graphql", headers=None, query=b"", kind="http"):
    """The first message sent by the guarded application."""
    app = TrustedHostMiddleware(SameOriginMiddleware(_page), allowed_hosts=names_of("127.0.0.1"))
    sent = []
    given = {"host": "127.0.0.1:3000", **(headers or {})}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "server": ("127.0.0.1", 3000),
        "scheme": "http",
    }

    async def receive():
        return {"type": f"{kind}.connect" if kind == "websocket" else "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]


@pytest.mark.parametrize(
    ("method", "path", "headers", "query", "status"),
    [
        ("GET", "/", {}, b"", 200),
        ("GET", "/runs/x", {"sec-fetch-site": "cross-site"}, b"", 200),  # a link to a page
        ("POST", "/graphql", JSON, b"", 200),  # a script on this machine
        ("POST", "/graphql", JSON | OWN | {"sec-fetch-site": "same-origin"}, b"", 200),
        ("POST", "/graphql", {"content-type": "application/json; charset=utf-8"} | OWN, b"", 200),
        ("GET", "/graphql", {}, b"", 200),
        ("GET", "/graphql", {}, b"query=mutation{deleteRun}", 405),
        ("HEAD", "/graphql", {}, b"query=x", 405),
        ("POST", "/graphql", {"content-type": "text/plain"}, b"", 415),  # content type that a form can send
        ("POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}, b"", 415),
        ("POST", "/graphql", {}, b"", 415),
        ("POST", "/graphql/", {"content-type": "text/plain"}, b"", 415),
        ("POST", "/graphql", JSON | {"origin": "http://127.0.0.1:9999"}, b"", 403),  # a page on another port
        ("POST", "/graphql", JSON | {"origin": "https://evil.example"}, b"", 403),
        ("POST", "/graphql", JSON | {"origin": "null"}, b"", 403),
        ("POST", "/graphql", JSON | {"sec-fetch-site": "cross-site"}, b"", 403),
        ("POST", "/report_asset_check/x", {"origin": "http://evil.example"}, b"", 403),
        ("POST", "/report_asset_check/x", {"sec-fetch-site": "same-site"}, b"", 403),
        ("PUT", "/graphql", JSON, b"", 405),
        ("DELETE", "/", {}, b"", 405),
        ("GET", "/", {"host": "evil.example:3000"}, b"", 400),  # DNS rebinding
        ("POST", "/graphql", JSON | {"host": "evil.example", "origin": "http://evil.example"}, b"", 400),
        ("GET", "/", {"host": "localhost:3000"}, b"", 200),
        ("GET", "/", {"host": "[::1]:3000"}, b"", 200),
    ],
)
def test_requests(method, path, headers, query, status):
    assert ask(method, path, headers, query)["status"] == status


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        (OWN, "websocket.accept"),
        ({"origin": "http://127.0.0.1:9999"}, "websocket.close"),
        ({"origin": "https://evil.example"}, "websocket.close"),
        ({}, "websocket.close"),
    ],
)
def test_websockets(headers, kind):
    assert ask("GET", headers=headers, kind="websocket")["type"] == kind


def test_a_server_of_all_interfaces_is_asked_by_the_addresses_of_this_machine():
    assert "0.0.0.0" in names_of("0.0.0.0")
    assert len(names_of("0.0.0.0")) > len(names_of("127.0.0.1"))
    assert names_of("127.0.0.1", ["ui.example"]) == ["127.0.0.1", "localhost", "[::1]", "ui.example"]
