"""Columns of a trace derived from one model call (paper section 4.1)."""

import json
from typing import Any

from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest


def answer_columns(provider: str, request: ChatRequest, outcome: ChatReply | CallFailure) -> dict[str, Any]:
    """Return ``response``, ``finish_reason``, the token counts, ``engine`` and ``sampling`` (JSON) of a trace.

    ``engine`` is the provider with the details it reports. A failure has no response.
    """
    if isinstance(outcome, CallFailure):
        failed = {"finish_reason": f"failed: {outcome.reason}", "sampling": _as_json(dict(request.sampling))}
        return {"response": None, "prompt_tokens": None, "completion_tokens": None, "engine": provider, **failed}
    served = None if outcome.served_model == request.model else outcome.served_model
    details = ", ".join(filter(None, (served, outcome.system_fingerprint, outcome.upstream_provider)))
    thinking = f"<think>{outcome.reasoning}</think>\n" if outcome.reasoning else ""
    return {
        "response": thinking + outcome.text,
        "finish_reason": outcome.finish_reason,
        "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens,
        "engine": f"{provider} ({details})" if details else provider,
        "sampling": _as_json({**request.sampling, **outcome.sampling}),
    }


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
