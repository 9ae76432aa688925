"""Parse the replies of the summariser and the reviewer (paper appendices A.2.2 and A.2.3)."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from advcluster_dagster.science.copied_texts import is_form_text, is_same_text
from advcluster_dagster.science.prompting import ReplyFault, name_fields, read_reply, unwrap_record, validate_record

_PAPER_KEYS = {
    "distinctness_score": "distinctness", "granularity_score": "granularity",
    "interpretability_score": "interpretability", "balance_score": "balance",
    "taxonomy_resolution_score": "resolution",
}  # fmt: skip
#: Placeholder texts of the prompt (``prompts/naming.md``); a reply that repeats them has no content.
FORM_TEXTS = (
    '2 to 4 words, the first a strong action verb in the -ing form ("Verifying", "Mapping").',
    "2 to 4 sentences on how information is handled on the way to a conclusion.",
)
_SCORE = re.compile(r"(\d{1,2})(?:\.0+)?(?:\s*(?:/|out of)\s*10)?")


class ClusterName(BaseModel):
    """A cluster's tag (the prompt asks for 2 to 4 words) and definition."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    tag: str = Field(min_length=1, max_length=80)
    definition: str = Field(min_length=1, max_length=2000)


_CRITERIA = tuple(_PAPER_KEYS.values())


class CandidateReview(BaseModel):
    """Five scores of a candidate taxonomy, each an integer from 1 (worst) to 10 (best), and the reasons given first."""

    model_config = ConfigDict(extra="forbid")

    distinctness_reason: str = ""
    distinctness: int = Field(ge=1, le=10)
    granularity_reason: str = ""
    granularity: int = Field(ge=1, le=10)
    interpretability_reason: str = ""
    interpretability: int = Field(ge=1, le=10)
    balance_reason: str = ""
    balance: int = Field(ge=1, le=10)
    resolution_reason: str = ""
    resolution: int = Field(ge=1, le=10)

    @property
    def total(self) -> int:
        """Sum of the five scores, 5 to 50."""
        return self.distinctness + self.granularity + self.interpretability + self.balance + self.resolution


def parse_cluster_name(text: str) -> ClusterName:
    """Parse the summariser's reply.

    Raises:
        ReplyFault: no complete JSON object with a tag and a definition, a text copied from the reply form, or a
            definition that only repeats the tag.
    """
    return read_reply(text, lambda value: unwrap_record(value, ClusterName, _read_name))


def parse_candidate_review(text: str) -> CandidateReview:
    """Parse the reviewer's reply, with this project's keys or the paper's; ``"8"``, ``8.0`` and ``"8/10"`` are 8.

    Raises:
        ReplyFault: no complete JSON object with the five integer scores from 1 to 10.
    """
    return read_reply(text, lambda value: unwrap_record(value, CandidateReview, _read_review))


def _read_name(value: Any) -> ClusterName:
    name = validate_record(ClusterName, value)
    for field, text in (("tag", name.tag), ("definition", name.definition)):
        if is_form_text(text, (*FORM_TEXTS, "tag", "definition")):
            raise ReplyFault(f"{field}: {text[:60]!r} is a text of the reply form, not content")
    if is_same_text(name.tag, name.definition):
        raise ReplyFault("definition: only repeats the tag")
    return name


def _read_review(value: Any) -> CandidateReview:
    if isinstance(value, dict):
        keyed: dict[str, Any] = {_PAPER_KEYS.get(key.strip().lower(), str(key)): score for key, score in value.items()}
        fields = name_fields(CandidateReview, keyed)
        value = {key: _score(score) if key in _CRITERIA else score for key, score in fields.items()}
    return validate_record(CandidateReview, value)


def _score(value: Any) -> Any:
    """Parse a score; strings that are no score, and booleans, become a text that validation rejects."""
    if isinstance(value, dict) and "score" in value:
        value = value["score"]
    written = _SCORE.fullmatch(value.strip()) if isinstance(value, str) else None
    if written:
        return int(written[1])
    if isinstance(value, bool | str):
        return f"not a score: {value}"
    return value
