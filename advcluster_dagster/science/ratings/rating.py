"""Ask for the rating of a trace, read it, and make rows of it."""

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

#: Texts of the prompt (``prompts/rating.md``) that are no content when they come back.
FORM_TEXTS = ("one sentence", "fault: passage")
#: Keys under which a judge may give a dimension or a field, beside ours.
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
        """The five ratings by dimension, in the order of the tables."""
        return {
            name: getattr(getattr(self, category), name)
            for category, names in DIMENSIONS_BY_CATEGORY.items()
            for name in names
        }


_CATEGORIES: dict[str, type[BaseModel]] = {"logic": LogicRatings, "brevity": BrevityRatings}


def rating_messages(template: PromptTemplate, question: str, trace: str) -> tuple[Message, Message]:
    """Ask for the rating of one trace. Both texts stand unaltered between fences: they are data."""
    return fill_template(template, plain={}, fenced={"question": question, "trace": trace})


def parse_rating(text: str) -> TraceRating:
    """Read a rating: categories that hold dimensions, or the dimensions alone; ``"4"``, ``4.0`` and ``"4/5"`` are 4.

    A dimension whose score is null, or that is null itself, is not rated.

    Raises:
        ReplyFault: no complete JSON object; a dimension is missing; a score is no integer from 1 to 5; no dimension
            is rated; a justification is copied from the reply form.
    """
    return read_reply(text, lambda value: unwrap_record(value, TraceRating, _read_rating))


def rating_rows(asked: pl.DataFrame, replies: Sequence[TraceRating | None]) -> pl.DataFrame:
    """Rows of ``trace_ratings``, five a usable reply.

    Args:
        asked: question_id, role, trial, generation, is_truncated; one row a call.
        replies: of these calls, in their order; None for a call without a usable reply, which gives no rows.
    """
    calls = asked.select("question_id", "role", "trial", "generation", "is_truncated").iter_rows()
    rows = [
        (question_id, role, trial, dimension, generation, rated.score, rated.justification, rated.deductions, is_cut)
        for (question_id, role, trial, generation, is_cut), reply in zip(calls, replies, strict=True)
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
    """The dimensions under their categories, however the reply arranges them."""
    given = name_fields(TraceRating, value)
    nested: dict[str, Any] = {}
    for category, model in _CATEGORIES.items():
        part = given.get(category, given)
        if not isinstance(part, dict):
            nested[category] = part
            continue
        named = _with_our_keys(name_fields(model, part))
        nested[category] = {name: _dimension(named[name]) for name in model.model_fields if name in named}
    return nested


def _dimension(value: Any) -> Any:
    """A dimension's rating with our keys and types; what is none, as it is."""
    if value is None:
        return {"score": None}
    if not isinstance(value, dict):
        return value
    named = _with_our_keys(name_fields(DimensionRating, value))
    return {key: _FIELDS[key](named[key]) for key in DimensionRating.model_fields if key in named}


def _with_our_keys(named: dict[str, Any]) -> dict[str, Any]:
    return {**{ours: named[other] for other, ours in _OTHER_KEYS.items() if other in named}, **named}


def _score(value: Any) -> Any:
    """The integer that a score is written as; true, false and any other text as a text that is refused."""
    if isinstance(value, str) and (written := _SCORE.fullmatch(value.strip())):
        return int(written[1])
    return f"not a score: {value}" if isinstance(value, bool | str) else value


def _deductions(value: Any) -> Any:
    """A list of texts without those that say there is none; a single text is a list of one."""
    items = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        return items
    return [item for item in items if not (isinstance(item, str) and words_of(item) in _NO_DEDUCTION)]


_FIELDS = {"justification": lambda value: "" if value is None else value, "deductions": _deductions, "score": _score}
