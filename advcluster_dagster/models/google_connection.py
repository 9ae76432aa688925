"""Connection through the google-genai SDK, and the interpretation of its errors."""

import os
import re
from collections.abc import Callable
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from advcluster_dagster.models.connection import COMMON_FAULTS, Connection
from advcluster_dagster.models.faults import (
    ErrorReplyError,
    StatusFault,
    UnreadableReplyError,
    is_filter_code,
    status_of_code,
)
from advcluster_dagster.models.server_messages import error_codes, read_body, retry_after, server_message
from advcluster_dagster.study.models import Provider

#: Suffixes of the paths whose responses are replies.
_CALLS = (":generateContent", ":batchEmbedContents", ":embedContent")
#: Every reply has at least one of these keys.
_REPLY_NAMES = {"candidates", "promptFeedback", "embeddings", "embedding"}
#: A JSON object longer than this (bytes) is taken for a reply without parsing: errors are short, vectors are long.
_LONG_REPLY = 20_000
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class GoogleConnection(Connection):
    """A connection through the google-genai SDK to the Gemini API.

    Without ``base_url`` the SDK's rules apply: GOOGLE_GEMINI_BASE_URL, else Google's address. Calls use a custom HTTP
    client, because the SDK's client retries lost connections.

    Raises:
        FatalModelError: no address is given and no variable contains a key.
    """

    faults = (errors.APIError, *COMMON_FAULTS)

    def __init__(self, name: str, settings: Provider) -> None:
        base_url = settings.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or None
        super().__init__(name, settings, base_url, ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
        self.address = str(httpx2.URL(base_url).copy_with(username=None, password=None)) if base_url else self.address

        async def limit_time(request: httpx2.Request) -> None:
            request.extensions["timeout"] = self.timeout.as_dict()  # overrides the SDK's, which has no limit

        hooks: dict[str, list[Callable[..., Any]]] = {"request": [limit_time], "response": [_raise_for_body]}
        self._http = httpx2.AsyncClient(limits=self.pool, event_hooks=hooks, follow_redirects=True)
        self._client = genai.Client(
            vertexai=False,
            api_key=self.key.get_secret_value() or "no-key",
            http_options=types.HttpOptions(base_url=base_url, httpx_async_client=self._http),
        )
        self.client = self._client.aio

    async def close_client(self) -> None:
        """Close the SDK's client and the HTTP client."""
        self._client.close()
        await self._http.aclose()

    def sdk_fault(self, error: Exception) -> StatusFault | None:
        """The HTTP status fault of an SDK error; see the base class."""
        if not isinstance(error, errors.APIError):
            return None
        headers = getattr(error.response, "headers", None) or {}
        return status_fault(int(error.code), error.details, retry_after(headers))


async def _raise_for_body(response: httpx2.Response) -> None:
    """Raise for responses the SDK cannot handle: error bodies that are not UTF-8 JSON, successes that are no replies.

    Raises:
        APIError: an error status, as the SDK would raise it, with the decoded body.
        UnreadableReplyError: status 200 without a JSON object, or with an error in the body.
    """
    is_call = response.is_success and response.request.url.path.endswith(_CALLS)
    if not is_call and not response.is_error:
        return
    try:
        await response.aread()
    except httpx2.DecodingError:
        if is_call:
            raise
    if is_call and len(response.content) > _LONG_REPLY and response.content.startswith(b"{"):
        return
    body = read_body(response)
    if response.is_error:
        errors.APIError.raise_error(response.status_code, body, response)
    if isinstance(body, dict) and body.get("error"):
        raise _error_reply(body)
    if not isinstance(body, dict) or not body.keys() & _REPLY_NAMES:
        raise UnreadableReplyError(f"not a reply: {server_message(body, response.status_code)}")


def _error_reply(body: dict[str, Any]) -> UnreadableReplyError:
    """The error for a status-200 response whose body contains an error, with that error's status if it has one."""
    error = body["error"]
    status = status_of_code(error.get("code")) if isinstance(error, dict) else None
    words = server_message({"error": error})
    return (
        UnreadableReplyError(f"not a reply: {words}") if status is None else ErrorReplyError(status_fault(status, body))
    )


def status_fault(status: int, body: Any, retry_after_s: float | None = None) -> StatusFault:
    """Interpret an error status and its body by Google's error details.

    A daily quota or a quota of 0 counts as used up; a per-minute quota recovers after the given delay.
    """
    details = _details(body)
    quota_ids = [str(item.get("quotaId", "")) for detail in details for item in _dicts(detail.get("violations"))]
    message = server_message(body, status)
    delays = [_DELAY.fullmatch(str(detail.get("retryDelay"))) for detail in details]
    waits_s = [*(float(delay[1]) for delay in delays if delay), *([] if retry_after_s is None else [retry_after_s])]
    codes = error_codes(body)
    return StatusFault(
        status,
        message,
        is_wrong_key="API_KEY_INVALID" in codes or "api key not valid" in message.lower(),
        is_quota_used_up=status == 429
        and (any("PerDay" in quota_id for quota_id in quota_ids) or re.search(r"\blimit: 0\b", message) is not None),
        is_filtered=status == 400 and is_filter_code(codes),
        retry_after_s=max(waits_s, default=None),
    )


def _details(body: Any) -> list[dict[str, Any]]:
    """The detail objects of an error body of any type; empty if there are none."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    return _dicts(error.get("details")) if isinstance(error, dict) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
