import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.json_values import find_values
from advcluster_dagster.science.lenient_json import BrokenJson, read_value
from advcluster_dagster.science.thinking import MARK

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20) | st.lists(
    st.sampled_from(['"', "\\", "{", "}", "[", "]", ",", ":", "</think>", "```", "<think>", "{'a': 1}", "x", " "])
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
CONTAINERS = st.lists(VALUES, max_size=4) | st.dictionaries(TEXTS, VALUES, max_size=4)
LAYOUTS = st.sampled_from([{}, {"indent": 0}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1, }', {"a": 1}),
        ("[1, 2, ]", [1, 2]),
        ("{'a': 'x', 'b': None, 'c': True, 'd': False}", {"a": "x", "b": None, "c": True, "d": False}),
        ('{a: 1, b_2 : "x"}', {"a": 1, "b_2": "x"}),
        ("{“a”: “say “}", None),
        ('{“a”: “it says "x"”}', {"a": 'it says "x"'}),
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        ('{"a": 1 // one\n, /* two */ "b": 2}', {"a": 1, "b": 2}),
        ('{"a": "http://x // y"}', {"a": "http://x // y"}),
        ('\ufeff{\u00a0"a":\u200b1}', {"a": 1}),
        ('{"a": 7/10}', {"a": "7/10"}),
        ('{"a": 1, "a": 1}', {"a": 1}),
        ("{'a': 'it's'}", None),
        ("{'a': 'x', y'}", None),
        ('{"a": 1, "a": true}', None),
        ('{"a": 1 "b": 2}', None),
        ('{"a": "x" y"}', None),
        ("{,}", None),
        ("[,]", None),
        ("[1,,2]", None),
        ('{"a": 1 /* }', None),
        ('{"a": 1 // }', None),
        ('{"a": "x}', None),
        ("{'a': 'x\ny'}", None),
        ('{"a": tru}', None),
        ('{"a": 01}', None),
        ('{"a": ...}', None),
        ('{"a": ' + "9" * 5000 + "}", None),
        ("[" * 40 + "]" * 40, None),
    ],
)
def test_variants_of_json(text, value):
    if value is None:
        with pytest.raises(BrokenJson):
            read_value(text, 0)
    else:
        assert read_value(text, 0) == (value, len(text))


@settings(deadline=None)
@given(CONTAINERS, LAYOUTS)
def test_strict_json_is_parsed_exactly(value, layout):
    text = json.dumps(value, **layout)
    assert read_value(text, 0) == (json.loads(text), len(text))


@settings(deadline=None)
@given(CONTAINERS, LAYOUTS, st.data())
def test_truncated_json_has_the_fault_that_the_json_module_reports(value, layout, data):
    text = json.dumps(value, **layout)
    truncated = text[: data.draw(st.integers(1, len(text) - 1))]
    assume(truncated[-1] not in "\\-.eE+" and "\\u" not in truncated[-6:])  # json reports a cut escape or number
    with pytest.raises(BrokenJson) as error:
        read_value(truncated, 0)
    with pytest.raises(json.JSONDecodeError) as reference:
        json.loads(truncated)
    assert (error.value.problem, error.value.position) == (reference.value.msg, reference.value.pos)


@settings(deadline=None)
@given(CONTAINERS, LAYOUTS, st.data())
def test_no_part_of_truncated_json_is_a_value(value, layout, data):
    text = json.dumps({"a": value, "b": "x"}, **layout)
    truncated = text[: data.draw(st.integers(1, len(text) - 1))]
    assert find_values(truncated).complete == []
    assert find_values(f"```json\n{truncated}\n```").complete == []
    if not MARK.search(truncated):  # after prose, a mark may end thinking that contains an unfinished draft
        assert find_values(f"Here:\n```json\n{truncated}\n```").complete == []


PROSE = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{}[]<>|`\"'“”◁,:/"), max_size=30)


@settings(deadline=None)
@given(PROSE, st.dictionaries(TEXTS, VALUES, max_size=4), PROSE, CONTAINERS)
def test_all_values_in_prose_are_found(before, first, between, second):
    text = f"{before}{json.dumps(first)}{between}.\n{json.dumps(second)}{before}"
    assert [item.value for item in find_values(text).complete] == [first, second]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        ("{x} {y: {z}} \\frac{1}{2} [see] {", []),
        ('[0, 1) then {"a": 1}', [{"a": 1}]),
        ('{x | {"a": 1}', [{"a": 1}]),
        ('{"a": 1}}', [{"a": 1}]),
        ('{"a": 1} }', [{"a": 1}]),
        ('{"a": 1} x }', []),
        ('\\boxed{{"a": 1}}', [{"a": 1}]),
        ('\\boxed{{"a": 1}}, {"b": 1}', [{"a": 1}, {"b": 1}]),
        ('[0, 1) {"a": "x ] y"} [1]', [{"a": "x ] y"}, [1]]),
        ('{ {"a": "x } y"}', [{"a": "x } y"}]),
        ('[see, {"a": 1}] {"b": 1}', [{"b": 1}]),
        ('{"a": x}, {"b": 1}', []),
        ('{"a": x}, then {"b": 1}', [{"b": 1}]),
        ('{"a": x}\n{"b": 1}', [{"b": 1}]),
        ('{"a": x {"b": 1}', []),
        ('{"a": "x </think> y", "b": {"c": 1}', []),
        ('y", "b": {"c": 1}', []),
        ('{"a": "x </think>{\'c\': 1} y', []),
        ('<think>x</think>{"a": "x </think>{\'c\': 1} y', []),
        ('<think>{"a": "x </think>{"c": 1}', [{"c": 1}]),
        ('Draft: {"a": "x </think>{"c": 1}', [{"c": 1}]),
        ('```\n{"a": x\n```\n{"b": 1}', [{"b": 1}]),
        ('{"a": x\n```\n{"b": 1}\n```', []),
    ],
)
def test_only_outermost_values_are_found(text, values):
    assert [item.value for item in find_values(text).complete] == values


HOSTILE = [
    "[",
    "{",
    '{"a":',
    '["a" ',
    '[{"a":',
    "{x ",
    "}",
    "[/*",
    '{"a" </think>',
    '["</think>",',
    "```json\n[",
    '\\"',
    "{{",
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", '{"a": "', "```json\n{"])
def test_adversarial_texts_are_scanned_in_linear_time(piece, start):
    find_values(start + piece * 25_000)
