"""The google-genai SDK's client and what its errors mean.

Here: how the client is made, its errors in the terms of ``connection``. Not here: retries and limits (``connection``),
what is sent and what becomes of a reply (``google_genai``).
"""

import os
import re
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from advcluster_dagster.models.connection import COMMON_FAULTS, Connection, Fault, StatusFault, retry_after
from advcluster_dagster.settings.models import Provider

_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class GoogleConnection(Connection):
    """A connection through the google-genai SDK to the Gemini API.

    Without ``base_url`` the SDK's own rules hold: GOOGLE_GEMINI_BASE_URL, else Google. Calls go through an HTTP client
    made here: the SDK's own would try lost connections again by itself.

    Raises:
        FatalModelError: no address is given and no variable holds a key.
    """

    faults = (errors.APIError, *COMMON_FAULTS)

    def __init__(self, name: str, settings: Provider) -> None:
        base_url = settings.base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or None
        super().__init__(name, settings, base_url, ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
        self.address = str(httpx2.URL(base_url).copy_with(username=None, password=None)) if base_url else self.address

        async def limit_time(request: httpx2.Request) -> None:
            request.extensions["timeout"] = self.timeout.as_dict()  # the SDK sends one that sets no limit

        self._http = httpx2.AsyncClient(limits=self.pool, event_hooks={"request": [limit_time]}, follow_redirects=True)
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

    def judge(self, error: Exception, model: str) -> Fault:
        """What an error of the SDK means; see the base class."""
        if isinstance(error, errors.APIError):
            return self.judge_status(status_fault(error), model)
        return self.judge_rest(error, error)


def status_fault(error: errors.APIError) -> StatusFault:
    """An error status with what Google's details say about it.

    A quota per day, or one of 0, is used up; one per minute comes back, after the delay that is given.
    """
    details = _details(error.details)
    quota_ids = [str(item.get("quotaId", "")) for detail in details for item in _dicts(detail.get("violations"))]
    message = str(error.message or error)
    delays = [_DELAY.fullmatch(str(detail.get("retryDelay"))) for detail in details]
    asked = [float(found[1]) for found in delays if found]
    headers = getattr(error.response, "headers", None) or {}
    return StatusFault(
        int(error.code),
        message,
        is_wrong_key=any(detail.get("reason") == "API_KEY_INVALID" for detail in details)
        or "api key not valid" in message.lower(),
        is_quota_used_up=error.code == 429
        and (any("PerDay" in quota_id for quota_id in quota_ids) or re.search(r"\blimit: 0\b", message) is not None),
        retry_after_s=asked[0] if asked else retry_after(headers),
    )


def _details(body: Any) -> list[dict[str, Any]]:
    """The detail objects of an error body, whatever it is."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    return _dicts(error.get("details")) if isinstance(error, dict) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
