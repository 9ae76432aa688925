"""Kinds of server faults, shared by all vendors."""

import re
from dataclasses import dataclass
from typing import Literal

#: Statuses worth a retry, apart from 5xx.
TRANSIENT_STATUSES = {408: "timeout", 409: "conflict", 425: "too_early", 429: "rate_limited"}
#: Server errors that persist on a retry.
_PERMANENT_SERVER_ERRORS = {501, 505}
#: Statuses whose message may concern the form of a request: a schema, the name of a setting.
_STATUSES_ABOUT_FORM = {400, 404, 406, 415, 422, 500, 501}
_FILTER_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_PATH = re.compile(r"(?:https?:/|(?<!\S))/\S+")
_ABOUT_MODEL = re.compile(r"\b(?:models?|deployments?|engines?)\b", re.IGNORECASE)
_ABOUT_PATH = re.compile(
    r"\b(?:ur[li]|routes?|paths?|endpoints?|pages?|files?|resource|cannot (?:get|post))\b|(?:^|\s)/\w"
    r"|method not allowed|without a message",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?:http|error|status|code|\d|[\W_])*not[\s_]?found\b.{0,20}", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """Interpretation of a fault for one call; ``retry_after_s`` is the server's retry delay."""

    reason: str
    detail: str
    is_transient: bool
    is_unreachable: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True)
class StatusFault:
    """A vendor-independent error status; the flags come from the vendor's error codes.

    ``message`` is the server's message as extracted by
    :func:`~advcluster_dagster.models.server_messages.server_message`.
    """

    status: int
    message: str
    is_wrong_key: bool = False
    is_unknown_model: bool = False
    is_quota_used_up: bool = False
    is_filtered: bool = False
    retry_after_s: float | None = None

    @property
    def may_be_about_form(self) -> bool:
        """Whether the message may name an unsupported part of the request."""
        return self.status in _STATUSES_ABOUT_FORM

    @property
    def is_transient(self) -> bool:
        """Whether a retry can help."""
        is_server_error = self.status >= 500 and self.status not in _PERMANENT_SERVER_ERRORS
        return is_server_error or self.status in TRANSIENT_STATUSES

    def missing(self, model: str) -> Literal["model", "path", "unclear"]:
        """What is missing according to the message of a 404 or 405."""
        if self.is_unknown_model:
            return "model"
        words = _PATH.sub(" ", self.message)
        if _ABOUT_MODEL.search(words) or re.search(rf"(?<![\w-]){re.escape(model)}(?![\w-])", words):
            return "model"
        return "path" if _ABOUT_PATH.search(self.message) or _BARE.fullmatch(self.message.strip()[:100]) else "unclear"


class UnreadableReplyError(ValueError):
    """The server's response is not a valid reply; may be retried."""


class ErrorReplyError(UnreadableReplyError):
    """The server answered with status 200 and a body containing an error with a status of its own."""

    def __init__(self, fault: StatusFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def is_filter_code(codes: set[str]) -> bool:
    """Whether the codes of an error body mean that a content filter blocked the reply."""
    return bool(_FILTER_CODES & codes)


def status_of_code(code: object) -> int | None:
    """The HTTP error status given by a code, number or text; None if it is not one."""
    text = str(code)
    return int(text) if re.fullmatch("[45][0-9]{2}", text) else None
