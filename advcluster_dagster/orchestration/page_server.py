"""Serve the pages of all studies beside Dagster's UI, so that an asset can link to its report."""

from pathlib import Path

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Where the pages are below the UI's address.
PAGES_PATH = "/pages"
# A page holds text that models wrote. Sandboxed, it has an origin of its own: were that text ever to run as a script,
# it could not ask the UI's server for anything.
_HEADERS = (
    (b"content-security-policy", b"sandbox allow-scripts allow-popups"),
    (b"x-content-type-options", b"nosniff"),
)


def page_address(study: str, page: Path) -> str:
    """Address of a page below the UI's."""
    return f"{PAGES_PATH}/{study}/{page.name}"


def pages_route(reports: Path) -> Mount:
    """The route that serves the pages in a folder, each in a sandbox."""
    return Mount(PAGES_PATH, _sandboxed(StaticFiles(directory=reports, check_dir=False)), name="pages")


def _sandboxed(app: ASGIApp) -> ASGIApp:
    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await app(scope, receive, send_with_headers)

    return serve
