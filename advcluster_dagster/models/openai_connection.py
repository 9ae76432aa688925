"""Connection through the OpenAI SDK, and the interpretation of its errors."""

import os
from typing import Any

import httpx2
import openai

from advcluster_dagster.models.connection import COMMON_FAULTS, Connection
from advcluster_dagster.models.faults import ErrorReplyError, StatusFault, is_filter_code
from advcluster_dagster.models.server_messages import error_codes, read_body, retry_after, server_message
from advcluster_dagster.study.models import Provider

#: Codes of a quota that does not recover by waiting.
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}


class OpenAIConnection(Connection):
    """A connection through the OpenAI SDK; without ``base_url`` the SDK's rules apply: OPENAI_BASE_URL, else OpenAI.

    Raises:
        FatalModelError: no address is given and the key's environment variable is not set.
    """

    faults = (openai.APIError, *COMMON_FAULTS)

    def __init__(self, name: str, settings: Provider) -> None:
        base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        super().__init__(name, settings, base_url, ["OPENAI_API_KEY"])
        self.client = openai.AsyncOpenAI(
            api_key=self.key.get_secret_value() or "no-key",  # the SDK requires a key, self-hosted servers do not
            base_url=base_url,
            max_retries=0,
            timeout=self.timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                limits=self.pool, timeout=self.timeout, event_hooks={"response": [_keep_status]}
            ),
        )
        self.address = str(self.client.base_url.copy_with(username=None, password=None))

    async def close_client(self) -> None:
        """Close the SDK's client."""
        await self.client.close()

    def sdk_fault(self, error: Exception) -> StatusFault | None:
        """The HTTP status fault of an SDK error; see the base class."""
        if isinstance(error.__cause__, ErrorReplyError):
            return error.__cause__.fault
        if not isinstance(error, openai.APIStatusError):
            return None
        response = error.response
        return status_fault(error.status_code, read_body(response), retry_after(response.headers))

    def cause_of(self, error: Exception) -> BaseException | None:
        """The HTTP client's error that caused the SDK's; see the base class."""
        if not isinstance(error, openai.APIConnectionError) or isinstance(error.__cause__, httpx2.TransportError):
            return error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        return httpx2.TransportError(str(error))


async def _keep_status(response: httpx2.Response) -> None:
    """Raise for an error body that cannot be decompressed, because the SDK would lose its status."""
    if response.is_error:
        try:
            await response.aread()
        except httpx2.DecodingError:
            fault = status_fault(response.status_code, "", retry_after(response.headers))
            raise ErrorReplyError(fault) from None


def status_fault(status: int, body: Any, retry_after_s: float | None = None) -> StatusFault:
    """Interpret an error status and its body by OpenAI's error codes."""
    codes = error_codes(body)
    return StatusFault(
        status,
        server_message(body, status),
        is_unknown_model="model_not_found" in codes,
        is_quota_used_up=bool(_QUOTA_CODES & codes),
        is_filtered=status == 400 and is_filter_code(codes),
        retry_after_s=retry_after_s,
    )
