"""Messages that request the rating of a trace, parsing of replies, and table rows."""

import re
from collections.abc import Sequence
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from advcluster_dagster.contracts.ratings import DIMENSIONS_BY_CATEGORY, HIGHEST_SCORE, LOWEST_SCORE, TRACE_RATINGS
from advcluster_dagster.science.copied_texts import is_form_text, words_of
from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    fill_template,
    name_fields,
    read_reply,
    unwrap_record,
    validate_record,
)

#: Placeholder texts of the prompt (``prompts/rating.md``); a reply that repeats them has no content.
FORM_TEXTS = ("one sentence", "fault: passage")
#: Alternative keys accepted for a dimension or a field.
_OTHER_KEYS = {"strategy_coherence": "strategy", "deductions_found": "deductions"}
_SCORE = re.compile(r"([1-5])(?:\.0+)?(?:\s*(?:/|out of)\s*5)?")
_NO_DEDUCTION = frozenset({(), ("none",), ("no", "deductions"), ("n", "a")})


class DimensionRating(BaseModel):
    """Reason, faults named, and score of one dimension: 5 faultless to 1 failed, null where it is not rated."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    justification: str = ""
    deductions: list[str] = Field(default_factory=list)
    score: int | None = Field(ge=LOWEST_SCORE, le=HIGHEST_SCORE)


class LogicRatings(BaseModel):
    """The dimensions of the category logic."""

    model_config = ConfigDict(extra="forbid")

    factuality: DimensionRating
    strategy: DimensionRating
    step_coherence: DimensionRating
    computational_precision: DimensionRating


class BrevityRatings(BaseModel):
    """The dimension of the category brevity."""

    model_config = ConfigDict(extra="forbid")

    signal_to_noise: DimensionRating


class TraceRating(BaseModel):
    """A valid reply: every dimension, at least one of them with a score."""

    model_config = ConfigDict(extra="forbid")

    logic: LogicRatings
    brevity: BrevityRatings

    @property
    def by_dimension(self) -> dict[str, DimensionRating]:
        """The five ratings by dimension, in table order."""
        return {
            name: getattr(getattr(self, category), name)
            for category, names in DIMENSIONS_BY_CATEGORY.items()
            for name in names
        }


_CATEGORIES: dict[str, type[BaseModel]] = {"logic": LogicRatings, "brevity": BrevityRatings}


def rating_messages(template: PromptTemplate, question: str, trace: str) -> tuple[Message, Message]:
    """Build the messages that request the rating of one trace; both texts are fenced unaltered, as data."""
    return fill_template(template, plain={}, fenced={"question": question, "trace": trace})


def parse_rating(text: str) -> TraceRating:
    """Parse a rating: dimensions with or without their categories; ``"4"``, ``4.0`` and ``"4/5"`` are 4.

    A dimension that is null or has a null score is not rated.

    Raises:
        ReplyFault: no complete JSON object; a dimension is missing; a score is not an integer from 1 to 5; no dimension
            is rated; a justification is copied from the reply form.
    """
    return read_reply(text, lambda value: unwrap_record(value, TraceRating, _read_rating))


def rating_rows(calls: pl.DataFrame, replies: Sequence[TraceRating | None]) -> pl.DataFrame:
    """Build the rows of ``trace_ratings``, five per usable reply.

    Args:
        calls: Columns question_id, role, trial, generation, is_truncated; one row per call.
        replies: Replies in the order of the calls; None without a usable reply, which gives no rows.
    """
    keys = calls.select("question_id", "role", "trial", "generation", "is_truncated").iter_rows()
    rows = [
        (question_id, role, trial, dimension, generation, rated.score, rated.justification, rated.deductions, is_cut)
        for (question_id, role, trial, generation, is_cut), reply in zip(keys, replies, strict=True)
        if reply is not None
        for dimension, rated in reply.by_dimension.items()
    ]
    return pl.DataFrame(rows, schema=TRACE_RATINGS.own_schema, orient="row")


def _read_rating(value: Any) -> TraceRating:
    rating = validate_record(TraceRating, _nested(value) if isinstance(value, dict) else value)
    for dimension, rated in rating.by_dimension.items():
        if rated.justification and is_form_text(rated.justification, FORM_TEXTS):
            raise ReplyFault(f"{dimension}.justification: {rated.justification[:60]!r} is a text of the reply form")
    if all(rated.score is None for rated in rating.by_dimension.values()):
        raise ReplyFault("no dimension is rated")
    return rating


def _nested(value: dict[str, Any]) -> dict[str, Any]:
    """Arrange the dimensions under their categories, in whatever structure the reply has."""
    fields = name_fields(TraceRating, value)
    nested: dict[str, Any] = {}
    for category, model in _CATEGORIES.items():
        part = fields.get(category, fields)
        if not isinstance(part, dict):
            nested[category] = part
            continue
        dimensions = _with_standard_keys(name_fields(model, part))
        nested[category] = {name: _dimension(dimensions[name]) for name in model.model_fields if name in dimensions}
    return nested


def _dimension(value: Any) -> Any:
    """Normalise keys and types of a dimension's rating; other values are returned unchanged."""
    if value is None:
        return {"score": None}
    if not isinstance(value, dict):
        return value
    fields = _with_standard_keys(name_fields(DimensionRating, value))
    return {key: _FIELDS[key](fields[key]) for key in DimensionRating.model_fields if key in fields}


def _with_standard_keys(named: dict[str, Any]) -> dict[str, Any]:
    return {**{standard: named[other] for other, standard in _OTHER_KEYS.items() if other in named}, **named}


def _score(value: Any) -> Any:
    """Parse a score; booleans and other strings become a text that validation rejects."""
    if isinstance(value, str) and (written := _SCORE.fullmatch(value.strip())):
        return int(written[1])
    return f"not a score: {value}" if isinstance(value, bool | str) else value


def _deductions(value: Any) -> Any:
    """Normalise to a list of texts, without entries such as "none"; a single text becomes a list."""
    items = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        return items
    return [item for item in items if not (isinstance(item, str) and words_of(item) in _NO_DEDUCTION)]


_FIELDS = {"justification": lambda value: "" if value is None else value, "deductions": _deductions, "score": _score}
