"""Parse a judge specification: ``embedded``, ``MODEL`` of OpenAI, or ``MODEL@URL`` of a compatible server."""

import os
from difflib import get_close_matches
from typing import Any

from advcluster_dagster.errors import AdvClusterError

_ROLES = ("extractor", "summariser", "reviewer")
_SERVER = "judge-server"


class JudgeError(AdvClusterError, ValueError):
    """Invalid judge specification; the message is one line."""


def judge_settings(judge: str) -> dict[str, Any]:
    """Build the sections ``judges`` and ``providers`` of a study; empty for the embedded analyst, the default.

    Raises:
        JudgeError: the judge has no name, a server no URL, or OpenAI no API key.

    >>> judge_settings("qwen3@http://localhost:8000/v1")["providers"]
    {'judge-server': {'base_url': 'http://localhost:8000/v1'}}
    """
    if judge == "embedded":
        return {}
    model, at, url = judge.partition("@")
    if not at and get_close_matches(model.lower(), ["embedded"], cutoff=0.75):
        raise JudgeError(f"judge {judge!r} is not a model; did you mean embedded?")
    if not at and not os.environ.get("OPENAI_API_KEY"):
        raise JudgeError(
            f"judge {judge!r} is a model of OpenAI, but OPENAI_API_KEY is not set; set it, or use your own server:"
            f" {judge}@http://HOST:PORT/v1"
        )
    if not model or (at and not url.startswith(("http://", "https://"))):
        raise JudgeError(f"judge {judge!r}; allowed: embedded, MODEL (of OpenAI), or MODEL@http://HOST:PORT/v1")
    chosen = {"model": model, "provider": _SERVER if at else "openai"}
    settings: dict[str, Any] = {"judges": dict.fromkeys(_ROLES, chosen)}
    return settings | ({"providers": {_SERVER: {"base_url": url}}} if at else {})
