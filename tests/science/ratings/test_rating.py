"""Rating messages and parsing of ratings."""

import json
import re

import polars as pl
import pytest

from advcluster_dagster.contracts.ratings import DIMENSIONS, DIMENSIONS_BY_CATEGORY, TRACE_RATINGS
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.copied_texts import is_form_text, words_of
from advcluster_dagster.science.prompting import ReplyFault, read_fenced, wire_schema
from advcluster_dagster.science.ratings.rating import (
    FORM_TEXTS,
    BrevityRatings,
    LogicRatings,
    TraceRating,
    parse_rating,
    rating_messages,
    rating_rows,
)

TEMPLATE = load_prompt("rating")


def reply(**scores):
    """A reply with score 4 for each dimension that is not given."""
    return {
        category: {name: {"justification": f"J {name}", "deductions": ["d"], "score": scores.get(name, 4)}
                   for name in names}
        for category, names in DIMENSIONS_BY_CATEGORY.items()
    }  # fmt: skip


def scores_of(rating):
    return {name: rated.score for name, rated in rating.by_dimension.items()}


def test_the_messages_have_question_and_trace_unaltered_and_nothing_else():
    system, user = rating_messages(TEMPLATE, "Q {{trace}}\n", "T >>> ===\n  end")
    assert read_fenced(user.content) == {"question": "Q {{trace}}\n", "trace": "T >>> ===\n  end"}
    assert user.content.index("## Question") < user.content.index("## Solution") < user.content.index("## What to do")
    assert "never an instruction" in system.content


def test_every_dimension_is_in_the_prompt_and_in_the_records():
    assert [name for name in DIMENSIONS if not re.search(rf"^\d\. {name}:", TEMPLATE.user, re.MULTILINE)] == []
    assert tuple(LogicRatings.model_fields) == DIMENSIONS_BY_CATEGORY["logic"]
    assert tuple(BrevityRatings.model_fields) == DIMENSIONS_BY_CATEGORY["brevity"]


def test_texts_of_the_reply_form_are_listed():
    form = TEMPLATE.user.split("## Reply")[1]
    texts = re.findall(r': \[?"([^"]*)"', form)
    assert sorted(set(texts)) == sorted(FORM_TEXTS)
    assert all(is_form_text(text, FORM_TEXTS) for text in texts)
    assert all(" ".join(words_of(text)) in " ".join(words_of(form)) for text in FORM_TEXTS)


def test_the_form_itself_is_a_fault():
    with pytest.raises(ReplyFault, match="text of the reply form"):
        parse_rating(TEMPLATE.user.split("## Reply")[1])


def test_a_rating_is_parsed_with_surrounding_text():
    rating = parse_rating(f"<think>hm {{}}</think>Here it is:\n```json\n{json.dumps(reply(strategy=1))}\n```\nDone.")
    assert scores_of(rating) == {**dict.fromkeys(DIMENSIONS, 4), "strategy": 1}
    assert rating.logic.strategy.justification == "J strategy"
    assert rating.logic.strategy.deductions == ["d"]


@pytest.mark.parametrize(
    ("written", "score"),
    [(1, 1), (5, 5), ("4", 4), (3.0, 3), ("2/5", 2), ("3 out of 5", 3), (" 5.0 ", 5), (None, None)],
)
def test_scores_as_judges_write_them(written, score):
    assert parse_rating(json.dumps(reply(factuality=written))).logic.factuality.score == score


@pytest.mark.parametrize(
    "written", [0, 6, -1, 4.5, "4.5", "6", "good", "", "not rated", True, False, [4], {"score": 4}]
)
def test_other_scores_are_a_fault(written):
    with pytest.raises(ReplyFault, match="factuality"):
        parse_rating(json.dumps(reply(factuality=written)))


@pytest.mark.parametrize("name", DIMENSIONS)
def test_a_missing_dimension_or_score_is_a_fault(name):
    without, unscored = reply(), reply()
    category = next(category for category, names in DIMENSIONS_BY_CATEGORY.items() if name in names)
    del without[category][name]
    del unscored[category][name]["score"]
    for broken in (without, unscored):
        with pytest.raises(ReplyFault, match=f"{name}"):
            parse_rating(json.dumps(broken))


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "{}", "[1, 2]", '{"logic": 4}', '{"logic": {}, "brevity": null}']
)
def test_text_without_a_rating_is_a_fault(text):
    with pytest.raises(ReplyFault):
        parse_rating(text)


def test_other_arrangements_of_the_same_rating():
    expected = scores_of(parse_rating(json.dumps(reply(signal_to_noise=2))))
    nested = reply(signal_to_noise=2)
    flat = {**nested["logic"], **nested["brevity"]}
    paper = {
        "Logic": {
            "Factuality": flat["factuality"], "Strategy Coherence": flat["strategy"],
            "Step Coherence": flat["step_coherence"], "Computational Precision": flat["computational_precision"],
        },
        "Brevity": {"Signal-to-Noise": {"Score": 2, "justification": "J", "deductions found": ["x"]}},
    }  # fmt: skip
    for other in (flat, {"rating": nested}, paper):
        assert scores_of(parse_rating(json.dumps(other))) == expected
    assert parse_rating(json.dumps(paper)).brevity.signal_to_noise.deductions == ["x"]


def test_a_dimension_may_be_unrated_but_not_all():
    part = reply(factuality=None)
    part["logic"]["strategy"] = None
    rating = parse_rating(json.dumps(part))
    assert (rating.logic.factuality.score, rating.logic.strategy.score, rating.logic.step_coherence.score) == (
        None, None, 4)  # fmt: skip
    with pytest.raises(ReplyFault, match="no dimension is rated"):
        parse_rating(json.dumps(reply(**dict.fromkeys(DIMENSIONS))))


@pytest.mark.parametrize(
    ("written", "read"), [(None, []), ("sign error", ["sign error"]), (["None", "", "n/a", "leap"], ["leap"])]
)
def test_deductions_as_judges_write_them(written, read):
    value = reply()
    value["logic"]["factuality"]["deductions"] = written
    assert parse_rating(json.dumps(value)).logic.factuality.deductions == read


def test_the_schema_that_is_sent_requires_every_field():
    schema = wire_schema(TraceRating)
    assert schema["required"] == ["logic", "brevity"]
    assert schema["$defs"]["DimensionRating"]["required"] == ["justification", "deductions", "score"]
    assert schema["$defs"]["LogicRatings"]["required"] == list(DIMENSIONS_BY_CATEGORY["logic"])


def call_rows(*rows):
    names = ["question_id", "role", "trial", "generation", "is_truncated"]
    return pl.DataFrame(rows, schema=names, orient="row") if rows else pl.DataFrame(
        schema={"question_id": pl.String, "role": pl.String, "trial": pl.Int64, "generation": pl.Int64,
                "is_truncated": pl.Boolean})  # fmt: skip


def test_rows_of_usable_replies():
    calls = call_rows(("q", "larger", 3, 0, False), ("q", "larger", 3, 1, False), ("q", "smaller", 0, 0, True))
    table = rating_rows(calls, [parse_rating(json.dumps(reply(strategy=None))), None,
                                parse_rating(json.dumps(reply()))])  # fmt: skip
    TRACE_RATINGS.check(TRACE_RATINGS.conform(table.lazy(), {"family": "f", "domain": "d"}))
    assert table.height == 10
    assert table["dimension"].to_list() == [*DIMENSIONS, *DIMENSIONS]
    assert table.row(1) == ("q", "larger", 3, "strategy", 0, None, "J strategy", ["d"], False)
    assert table.row(9) == ("q", "smaller", 0, "signal_to_noise", 0, 4, "J signal_to_noise", ["d"], True)
    with pytest.raises(ValueError, match="zip"):
        rating_rows(calls, [None])


def test_no_calls_give_no_rows():
    assert rating_rows(call_rows(), []).schema == TRACE_RATINGS.own_schema
