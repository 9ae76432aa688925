"""Dagster's web server with checks of host, origin and method.

Dagster's server has no authentication and trusts every request: a page of another site could delete runs through the
browser, by a form, a link (mutations work by GET) or a websocket, or read everything by DNS rebinding.
"""

import argparse
import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from advcluster_dagster.dagster_internals import LOCATION
from advcluster_dagster.orchestration.page_server import pages_route

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1", "[::1]")
_READING = ("GET", "HEAD", "OPTIONS")
_POLL_RATE_MS = 2000


class SameOriginMiddleware:
    """Refuses requests from pages of other sites, and GraphQL requests other than those of the UI.

    A request with an ``Origin`` must come from the server's own host and port. GraphQL requires POST with a JSON body,
    which forms and links of other sites cannot send; the websocket requires an ``Origin``, which every browser sends.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer it with 403, 405 or 415."""
        refused = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refused is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=refused[1])(scope, receive, send)
        else:
            await PlainTextResponse(refused[1], status_code=refused[0])(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        origin, is_websocket = headers.get("origin"), scope["type"] == "websocket"
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return 403, f"requests from {origin[:100]} are refused: the UI accepts requests from its own pages only"
        if is_websocket:
            return (403, "a websocket requires an Origin") if origin is None else None
        if scope["method"] not in (*_READING, "POST"):
            return 405, f"method {scope['method']} is not allowed"
        if scope["method"] == "POST" and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "requests from other sites are refused"
        if not scope["path"].rstrip("/").endswith("/graphql"):
            return None
        if scope["method"] in _READING and scope.get("query_string"):
            return 405, "GraphQL requires POST"
        is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
        return None if scope["method"] in _READING or is_json else (415, "GraphQL requires a JSON body")


class GuardedWebserver(DagsterWebserver):  # type: ignore[type-arg]  # its parameters have no public names
    """Dagster's web server behind :class:`SameOriginMiddleware`, restricted to the host names ``allowed_hosts``.

    It also serves the pages in the folder ``reports``.
    """

    allowed_hosts: Sequence[str] = _LOOPBACK_NAMES
    reports: Path

    def build_routes(self) -> list[BaseRoute]:
        """The pages first, since Dagster's last route takes every address."""
        routes: list[BaseRoute] = super().build_routes()  # type: ignore[no-untyped-call]
        return [pages_route(self.reports), *routes]

    def build_middleware(self) -> list[Middleware]:
        """Middleware: the guards first, then Dagster's."""
        guards = [
            Middleware(TrustedHostMiddleware, allowed_hosts=list(self.allowed_hosts), www_redirect=False),
            Middleware(SameOriginMiddleware),
        ]
        return [*guards, *super().build_middleware()]


def names_of(host: str, further: Sequence[str] = ()) -> list[str]:
    """Host names and addresses that a browser may use for a server listening at ``host``.

    For a wildcard address these include the machine's addresses and host name.
    """
    names = [*_LOOPBACK_NAMES, host, *further]
    with contextlib.suppress(ValueError):
        if ip_address(host).is_unspecified:
            addresses = [
                a.address.partition("%")[0] for addresses_of in psutil.net_if_addrs().values() for a in addresses_of
            ]
            names += [a for a in addresses if _is_address(a)] + [socket.gethostname()]
    return list(dict.fromkeys(f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names))


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ip_address(text))
    return False


@contextlib.asynccontextmanager
async def _lifespan(_app: Starlette) -> AsyncIterator[None]:
    with contextlib.suppress(asyncio.CancelledError):  # the server is shutting down
        yield


def serve(host: str, port: int, code_socket: str, reports: Path, allowed_hosts: Sequence[str]) -> None:
    """Serve the UI of the instance in DAGSTER_HOME until a stop signal; another process serves its code location."""
    logging.getLogger("dagster").setLevel(logging.WARNING)
    target = GrpcServerTarget(host="localhost", port=None, socket=code_socket, location_name=LOCATION)
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3600, max_overflow=20)
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            server = GuardedWebserver(context, "", _POLL_RATE_MS)
            server.allowed_hosts, server.reports = allowed_hosts, reports
            print(f"Serving the UI on http://{host}:{port}", flush=True)
            uvicorn.run(server.create_asgi_app(lifespan=_lifespan), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("code_socket")
    parser.add_argument("reports", type=Path)
    parser.add_argument("allowed_hosts", nargs="*")
    arguments = parser.parse_args()
    serve(arguments.host, arguments.port, arguments.code_socket, arguments.reports, arguments.allowed_hosts)
