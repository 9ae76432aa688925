import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcluster_dagster.contracts.vocabularies import STAGE_DEPTHS
from advcluster_dagster.science.advantage_extraction.replies import parse_extraction_reply, style_violations
from advcluster_dagster.science.prompting import ReplyFault

ADVANTAGES = [
    {"advantage": "Tracks every stated condition", "evidence": "A lists both cases, B one."},
    {"advantage": "Verifies results by substitution", "evidence": "A inserts the root."},
]


def advantage(i):
    return {**ADVANTAGES[i % 2], "advantage": f"{ADVANTAGES[i % 2]['advantage']}{' again' * (i // 2)}"}


def reply(**changes):
    return {
        "failure_stage": "Transformation",
        "failure_description": "Sets up the wrong relation.",
        "advantages": ADVANTAGES,
        **changes,
    }


def typed_list(n_failures=1, n_advantages=2):
    """A reply in the form requested by the paper's prompt."""
    failure = {"type": "failure", "failure_stage": "Process Skills", "failure_description": "Slips in a product."}
    return [failure] * n_failures + [{"type": "advantage", **advantage(i)} for i in range(n_advantages)]


def test_depths_are_newmans_stages_in_order():
    assert STAGE_DEPTHS == {
        "Reading": 1, "Comprehension": 2, "Transformation": 3, "Process Skills": 4, "Encoding": 5,
    }  # fmt: skip


def test_the_projects_object():
    parsed = parse_extraction_reply(json.dumps(reply()))
    assert parsed.model_dump(exclude_defaults=True) == reply()


def test_the_papers_list():
    parsed = parse_extraction_reply(json.dumps(typed_list(n_advantages=3)))
    assert parsed.failure_stage == "Process Skills"
    assert parsed.failure_description == "Slips in a product."
    assert [item.advantage for item in parsed.advantages] == [advantage(i)["advantage"] for i in range(3)]


@pytest.mark.parametrize("wrap", ["{}", "```json\n{}\n```", "```\n{}\n```", "Here it is:\n{}\nThat is all."])
@pytest.mark.parametrize("value", [reply(), typed_list()], ids=["object", "list"])
def test_bare_fenced_or_in_prose(wrap, value):
    text = wrap.replace("{}", json.dumps(value, indent=2))
    assert len(parse_extraction_reply(text).advantages) == 2


@pytest.mark.parametrize(
    ("spelt", "stage"),
    [
        ("process skills", "Process Skills"),
        ("PROCESS_SKILLS", "Process Skills"),
        (" Process-Skills ", "Process Skills"),
        ("reading", "Reading"),
        ("Encoding.", "Encoding"),
    ],
)
def test_stages_are_recognised_in_any_spelling(spelt, stage):
    assert parse_extraction_reply(json.dumps(reply(failure_stage=spelt))).failure_stage == stage


def test_surrounding_white_space_is_stripped():
    spaced = [{"advantage": "  Tracks units\n", "evidence": "\tx "}, ADVANTAGES[1]]
    assert parse_extraction_reply(json.dumps(reply(advantages=spaced))).advantages[0].advantage == "Tracks units"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (reply(failure_stage="Arithmetic"), "failure_stage"),
        (reply(failure_stage="Reading | Comprehension"), "failure_stage"),
        (reply(failure_stage=3), "failure_stage"),
        (reply(failure_stage=None), "failure_stage"),
        (reply(failure_description="  "), "failure_description"),
        (reply(advantages=[]), "advantages"),
        (reply(advantages=ADVANTAGES[:1]), "at least 2"),
        (reply(advantages=ADVANTAGES * 3), "at most 5"),
        (reply(advantages="two of them"), "advantages"),
        (reply(advantages=[ADVANTAGES[0], "Tracks units"]), "advantages.1"),
        (reply(advantages=[ADVANTAGES[0], {"advantage": "Tracks units"}]), "advantages.1.evidence"),
        (reply(advantages=[ADVANTAGES[0], {"advantage": "", "evidence": "x"}]), "advantages.1.advantage"),
        ({"advantages": ADVANTAGES}, "failure_stage"),
        ({}, "failure_stage"),
        (typed_list(n_failures=0), "exactly one failure object, found 0"),
        (typed_list(n_failures=2), "exactly one failure object, found 2"),
        (typed_list(n_advantages=1), "at least 2"),
        (typed_list(n_advantages=6), "at most 5"),
        ([], "exactly one failure object, found 0"),
        ([1, "two", None], "exactly one failure object, found 0"),
    ],
)
def test_faulty_replies_have_one_line_faults(value, words):
    with pytest.raises(ReplyFault) as caught:
        parse_extraction_reply(json.dumps(value))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "I cannot compare these.", "{", "null", "42", '"text"', json.dumps(reply())[:-3]])
def test_text_without_a_reply_is_a_fault(text):
    with pytest.raises(ReplyFault):
        parse_extraction_reply(text)


KEYS = st.sampled_from(["failure_stage", "advantages", "type", "advantage"]) | st.text(max_size=3)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_any_other_json_is_a_fault(value):
    with pytest.raises(ReplyFault):
        parse_extraction_reply(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "violations"),
    [
        ("Tracks every stated condition", []),
        ("Cross-checks results against limits", []),
        ("Verifying intermediate results", []),
        ("Maps one two three four five six seven eight nine", []),  # 10 words
        ("Maps one two three four five six seven eight nine ten", ["too_long"]),  # 11 words
        ("Maps what Model_A writes", ["forbidden_word"]),
        ("Outperforms model_b throughout", ["forbidden_word"]),
        ("Shows what the model knows", ["forbidden_word"]),
        ("Applies rules correctly", ["forbidden_word"]),
        ("Follows the modelling assumptions", []),  # "the model" is forbidden as words only
        ("Track conditions", ["no_action_verb"]),
        ("tracks conditions", ["no_action_verb"]),
        ("Careful with units", ["no_action_verb"]),
        ("Uses 3 equations", ["quantity"]),
        ("", ["no_action_verb"]),
        (
            "the model correctly applies the formula v = 2 a t to it all",
            ["too_long", "forbidden_word", "no_action_verb", "quantity"],
        ),
    ],
)
def test_style_violations(text, violations):
    assert style_violations(text) == violations
