import hashlib
import json
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advcluster_dagster.science.prompting import (
    Message,
    PromptTemplate,
    ReplyFault,
    answer_text,
    fence,
    fill_template,
    parse_json_reply,
    parse_template,
    read_fenced,
    read_reply,
)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
HOSTILE = st.lists(
    st.sampled_from(["<<<a ", "a ", ">>>", "\n", "0123456789ab", "<<<", "{{a}}", "b", "===", "\r", "\n\n"]), max_size=12
).map("".join)
TEXTS = st.dictionaries(NAMES, ANY_TEXT | HOSTILE, min_size=1, max_size=4)


def template(user, system="S"):
    return PromptTemplate("p", system, user, "0" * 64)


def test_a_prompt_file_is_split_at_its_separator():
    text = "You compare.\n===\nCompare {{a}}.\n"
    parsed = parse_template("compare", text)
    assert (parsed.name, parsed.system, parsed.user) == ("compare", "You compare.", "Compare {{a}}.")
    assert parsed.sha256 == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "n"), [("no such line", 0), ("a\n===\nb\n===\nc", 2), ("a === b\n", 0), ("a\n====\nb", 0)]
)
def test_a_prompt_file_without_two_messages_is_an_error(text, n):
    with pytest.raises(ValueError, match=f"^prompt x: expected one line '===' between its messages, found {n}$"):
        parse_template("x", text)


def test_plain_and_fenced_values():
    system, user = fill_template(template("K = {{n}}\n\n{{a}}"), {"n": "3"}, {"a": "text"})
    token = fence({"a": "text"})["a"].split()[1]
    assert system == Message("system", "S")
    assert user == Message("user", f"K = 3\n\n<<<a {token}\ntext\na {token}>>>")


def test_a_placeholder_may_occur_twice():
    _, user = fill_template(template("{{a}} and {{a}}"), {"a": "x"}, {})
    assert user.content == "x and x"


@pytest.mark.parametrize(
    ("user", "plain", "fenced"),
    [
        ("{{a}}", {}, {}),
        ("nothing", {"a": "x"}, {}),
        ("nothing", {}, {"a": "x"}),
        ("{{a}} {{b}}", {"a": "x"}, {"c": "y"}),
    ],
)
def test_placeholders_and_values_must_match(user, plain, fenced):
    with pytest.raises(ValueError, match=r"^prompt p: placeholders \[.*\] do not match values \[.*\]$"):
        fill_template(template(user), plain, fenced)


@settings(deadline=None, max_examples=100)
@given(TEXTS)
@example({"a": "", "b": "\n"})
@example({"a": "\na 0123456789ab>>>", "b": "<<<b 0123456789ab\n"})
def test_reading_is_the_inverse_of_fencing(texts):
    blocks = fence(texts)
    assert read_fenced("Intro\n" + "\n\n".join(blocks.values()) + "\nEnd") == texts
    assert read_fenced("".join(blocks.values())) == texts


@settings(deadline=None)
@given(TEXTS)
def test_no_text_contains_its_closing_mark(texts):
    for name, block in fence(texts).items():
        opening, _, rest = block.partition("\n")
        token = opening.removeprefix(f"<<<{name} ")
        assert len(token) == 12
        assert block == f"<<<{name} {token}\n{texts[name]}\n{name} {token}>>>"
        assert not any(token in text for text in texts.values())
        assert rest.count(token) == 1


def test_a_text_that_guesses_its_token_gets_another():
    guessed = fence({"a": "x"})["a"].split()[1]
    blocks = fence({"a": f"x\na {guessed}>>>"})
    assert guessed not in blocks["a"].split("\n")[0]
    assert read_fenced(blocks["a"]) == {"a": f"x\na {guessed}>>>"}


@settings(deadline=None)
@given(TEXTS)
def test_equal_texts_have_equal_fences(texts):
    assert fence(texts) == fence(dict(texts))


@settings(deadline=None)
@given(ANY_TEXT | HOSTILE)
def test_placeholders_inside_a_value_are_not_expanded(text):
    hostile = f"{{{{secret}}}}{text}{{{{a}}}}\\g<0>"
    _, user = fill_template(template("{{a}}|{{secret}}"), {"secret": "KEY"}, {"a": hostile})
    assert read_fenced(user.content) == {"a": hostile}
    assert user.content.endswith("|KEY")
    assert user.content.count("KEY") == 1 + text.count("KEY")


def test_a_message_without_fences_has_no_fenced_texts():
    assert read_fenced("<<<a 0123456789ab\nno end") == {}
    assert read_fenced("") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", [1, 2]),
        (' \n{"a": {"b": [1, {"c": null}]}}\n ', {"a": {"b": [1, {"c": None}]}}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n{"a": 1}\n```', {"a": 1}),
        ('```json \r\n{"a": 1}\r\n```', {"a": 1}),
        ('Sure!\n```json\n{"a": "```"}\n```\nDone.', {"a": "```"}),
        ('The result is {"a": 1}, as asked.', {"a": 1}),
        ('I weigh {both} sides: {"a": 1}', {"a": 1}),
        ('```json\n{broken\n```\nAgain: {"a": 1}', {"a": 1}),
        ('{"a": 1} {"b": 2}', {"b": 2}),
        ('{"a": "brace } in text"}', {"a": "brace } in text"}),
        ('"quoted" [1]', [1]),
        ("{}", {}),
        ("[]", []),
    ],
)
def test_json_is_found_in_a_reply(text, value):
    assert parse_json_reply(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "I cannot do this.",
        "{",
        '{"a": 1',
        '{"a": }',
        "42",
        "null",
        "true",
        '"text"',
        "{both} sides",
        "```json\n```",
    ],
)
def test_a_reply_without_object_or_array_is_a_fault(text):
    with pytest.raises(ReplyFault, match="no complete JSON object"):
        parse_json_reply(text)


@pytest.mark.parametrize("opening", ["[", '{"a":', "```json\n[", '[{"a":'])
def test_deep_nesting_is_a_fault(opening):
    with pytest.raises(ReplyFault):
        parse_json_reply(opening * 10_000)


def test_many_line_breaks_after_a_fence_are_scanned_in_linear_time():
    with pytest.raises(ReplyFault):
        parse_json_reply("```" + "\n" * 200_000)


# A control character before letters is LaTeX without its backslash: test_json_strings.py.
PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN_TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(JSON_VALUES, max_size=3) | st.dictionaries(PLAIN_TEXT, JSON_VALUES, max_size=3))
def test_any_object_or_array_is_read_bare_and_fenced(value):
    text = json.dumps(value)
    assert parse_json_reply(text) == value
    assert parse_json_reply(f"Here:\n```json\n{json.dumps(value, indent=2)}\n```") == value


def read_tag(value):
    if not (isinstance(value, dict) and set(value) == {"tag"}):
        raise ReplyFault(f"no tag in {value}")
    return value["tag"]


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ('{"tag": 1} {"tag": 2}', 2),
        ('{"tag": 1} {"other": 2}', 1),
        ('{"tag": 1} and {"tag": 2', 1),
        ('{"tag": } {"tag": 2}', 2),
        ('{"tag": 1} {} [1]', 1),
        ('<think>{"tag": 1}</think> {"tag": 2}', 2),
        ('"{\\"tag\\": 1}"', 1),
    ],
)
def test_the_last_value_that_can_be_read_is_the_reply(text, tag):
    assert read_reply(text, read_tag) == tag


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 1} {"b": 2}', "no tag in {'b': 2}"),
        ('{"a": 1} [3] {}', "no tag in {'a': 1}"),
        ("[3]", "no tag in [3]"),
        ('{"a": 1} {"tag": 2', "Expecting ',' delimiter: line 1 column 19 (char 18), near '{\"a\": 1} {\"tag\": 2'"),
        ('{"tag": 2, {"a": 1}', "Expecting property name enclosed in double quotes: line 1 column 12 (char 11)"),
        ('{"x": {"tag": 1}, "y": {"tag": 2}', "Expecting ',' delimiter: line 1 column 34 (char 33)"),
        ('[{"tag": 1}, {"tag": 2}', "Expecting ',' delimiter: line 1 column 24 (char 23)"),
        ('<think>{"tag": 1}', "ends inside its thinking"),
        ("prose", "the reply holds no complete JSON object"),
    ],
)
def test_the_fault_is_that_of_the_last_value(text, fault):
    with pytest.raises(ReplyFault) as caught:
        read_reply(text, read_tag)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("", ""),
        (" a \n", "a"),
        ("<think>a</think> b", "b"),
        ('{"a": "</think>"}', '{"a": "</think>"}'),
        ('<think>x</think> {"a": "<think>"} ', '{"a": "<think>"}'),
        ("<think>a", None),
    ],
)
def test_the_answer_follows_the_thinking(reply, answer):
    assert answer_text(reply) == answer


@settings(deadline=None)
@given(ANY_TEXT | HOSTILE)
def test_any_text_is_parsed_or_a_fault(text):
    with suppress(ReplyFault):
        assert isinstance(parse_json_reply(text), dict | list)
