"""A judge as it is named in one word: ``embedded``, ``MODEL`` of OpenAI, or ``MODEL@URL`` of a compatible server."""

import os
from difflib import get_close_matches
from typing import Any

from advcluster_dagster.errors import AdvClusterError

_ROLES = ("extractor", "summariser", "reviewer")
_SERVER = "judge-server"


class JudgeError(AdvClusterError, ValueError):
    """A judge that cannot be meant; one line."""


def judge_settings(judge: str) -> dict[str, Any]:
    """The sections ``judges`` and ``providers`` of a study; none for the embedded analyst, which is the default.

    Raises:
        JudgeError: the judge has no name, or a server no URL.

    >>> judge_settings("qwen3@http://localhost:8000/v1")["providers"]
    {'judge-server': {'base_url': 'http://localhost:8000/v1'}}
    """
    if judge == "embedded":
        return {}
    model, at, url = judge.partition("@")
    if not at and get_close_matches(model.lower(), ["embedded"], cutoff=0.75):
        raise JudgeError(f"judge {judge!r} is no model's name; did you mean embedded?")
    if not at and not os.environ.get("OPENAI_API_KEY"):
        raise JudgeError(
            f"judge {judge!r} is a model of OpenAI, and OPENAI_API_KEY holds no key; set it, or name a server of your"
            f" own: {judge}@http://HOST:PORT/v1"
        )
    if not model or (at and not url.startswith(("http://", "https://"))):
        raise JudgeError(f"judge {judge!r}; allowed: embedded, MODEL (of OpenAI), or MODEL@http://HOST:PORT/v1")
    chosen = {"model": model, "provider": _SERVER if at else "openai"}
    settings: dict[str, Any] = {"judges": dict.fromkeys(_ROLES, chosen)}
    return settings | ({"providers": {_SERVER: {"base_url": url}}} if at else {})
