"""The OpenAI SDK's client and what its errors mean.

Here: how the client is made, its errors in the terms of ``connection``. Not here: retries and limits (``connection``),
what is sent and what becomes of a reply (``openai_compatible``).
"""

import os

import httpx2
import openai

from advcluster_dagster.models.connection import COMMON_FAULTS, Connection, Fault, StatusFault, retry_after
from advcluster_dagster.settings.models import Provider

#: Codes of a quota that no waiting brings back.
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}


class OpenAIConnection(Connection):
    """A connection through the OpenAI SDK; without ``base_url`` its own rules hold: OPENAI_BASE_URL, else OpenAI.

    Raises:
        FatalModelError: no address is given and the variable of the key is not set.
    """

    faults = (openai.APIError, *COMMON_FAULTS)

    def __init__(self, name: str, settings: Provider) -> None:
        base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL") or None
        super().__init__(name, settings, base_url, ["OPENAI_API_KEY"])
        self.client = openai.AsyncOpenAI(
            api_key=self.key.get_secret_value() or "no-key",  # servers of one's own ask for none, the SDK insists
            base_url=base_url,
            max_retries=0,
            timeout=self.timeout,
            http_client=openai.DefaultAsyncHttpxClient(limits=self.pool, timeout=self.timeout),
        )
        self.address = str(self.client.base_url.copy_with(username=None, password=None))

    async def close_client(self) -> None:
        """Close the SDK's client."""
        await self.client.close()

    def judge(self, error: Exception, model: str) -> Fault:
        """What an error of the SDK means; see the base class."""
        if isinstance(error, openai.APIStatusError):
            return self.judge_status(status_fault(error), model)
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(error, openai.APIConnectionError) and not isinstance(cause, httpx2.TransportError):
            cause = httpx2.TransportError(str(error))
        return self.judge_rest(error, cause)


def status_fault(error: openai.APIStatusError) -> StatusFault:
    """An error status with what OpenAI's codes say about it."""
    return StatusFault(
        error.status_code,
        error.message,
        is_unknown_model=error.code == "model_not_found",
        is_quota_used_up=bool(QUOTA_CODES & {error.code, error.type}),
        retry_after_s=retry_after(error.response.headers),
    )
