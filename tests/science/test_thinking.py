import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.thinking import find_after_thinking, without_thinking

ANALYSIS = "<|channel|>analysis<|message|>It may be 4.<|end|>"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", ""),
        (" no thinking\n", " no thinking\n"),
        ("<think>a</think>b", "b"),
        ("<think>\n\n</think>\n\nb", "\n\nb"),
        ("a</think>b", "b"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<THINK>a</Think>b", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("<thinking>a</think>b", "b"),
        ("<thought>a</thought>b", "b"),
        ("<seed:think>a</seed:think>b", "b"),
        ("< think >a</ think >b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("[think]a[/think]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|begin_of_thought|>a<|end_of_thought|>b", "b"),
        ("think of [think] and x < think", "think of [think] and x < think"),
        ("a <thinker>", "a <thinker>"),
        ("answer <think>a</think>", ""),
        # Marks that are only mentioned.
        ("The tag `<think>` opens it.", "The tag `<think>` opens it."),
        ('It writes "</think>" twice.', 'It writes "</think>" twice.'),
        ("<think>I must write `</think>` next.</think>b", "b"),
        ('<think>so it is "18"</think>"18"', '"18"'),
        # Channels.
        (f"{ANALYSIS}<|start|>assistant<|channel|>final<|message|>5<|return|>", "5"),
        (f"{ANALYSIS}<|start|>assistant<|channel|>final<|message|>5", "5"),
        ("<|channel|>final <|constrain|>json<|message|>{}<|end|>", "{}"),
        ("analysis<|message|>4<|end|><|start|>assistant<|channel|>final<|message|>5", "5"),
        ("final<|message|>5<|return|>", "5"),
        ("<|start|>assistant<|message|>5<|end|>", "5"),
        ("<|channel|>final<|message|>4<|end|><|channel|>final<|message|>5", "5"),
        ("<|channel|>final<|message|><think>4</think>5<|return|>", "5"),
        ("<|CHANNEL|>Final<|message|>5", "5"),
        ("analysisWe add. So 4.assistantfinal5", "5"),
        ("analysis of it: assistantfinal", "analysis of it: assistantfinal"),
        ("B<|end|>", "B<|end|>"),
    ],
)
def test_the_text_after_thinking(text, rest):
    assert without_thinking(text) == rest


@pytest.mark.parametrize(
    "text",
    [
        "<think>a",
        "<think>",
        "b<thinking>a",
        "<think>a</think>b<think>c",
        "[THINK]a",
        "◁think▷a",
        "<think>I must write `</think>` next",
        ANALYSIS,
        "<|channel|>analysis<|message|>It may be",
        "<|channel|>analysis",
        "analysis<|message|>a<|end|>",
        "<|channel|>commentary to=x<|message|>a<|call|>",
        "<|channel|>final<|message|><think>4",
        "analysisWe add. So 4.",
    ],
)
def test_thinking_that_never_ends_gives_none(text):
    assert without_thinking(text) is None


@pytest.mark.parametrize("mark", ["</think>", "<think>", "[THINK]", "<|channel|>analysis<|message|>"])
def test_marks_in_data_are_data(mark):
    text = f'x </think>{{"a": "{mark}"}} b'
    start = text.index("{")
    assert find_after_thinking(text, [(start, text.rindex("}") + 1)]) == (start, len(text))


TEXTS = st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "<|channel|>", "final", "<|message|>", "a"])).map(
    "".join
)


@given(TEXTS)
def test_the_answer_is_the_end_of_the_text_without_marks(text):
    rest = without_thinking(text)
    if rest is not None:
        assert rest in text
        assert "think>" not in rest
        assert without_thinking(rest) == rest or "<|" in rest


@given(st.text(st.characters(exclude_characters="<>[]|◁▷"), max_size=40), st.text(max_size=40).filter(str.isalpha))
def test_any_thinking_is_removed(thought, answer):
    assert without_thinking(f"<think>x{thought}x</think>{answer}") == answer


@pytest.mark.parametrize("mark", ["<think>", "</think>", "<|channel|>", "<|message|>", "`</think>`", "<", "[THINK]"])
def test_many_marks_are_scanned_in_linear_time(mark):
    without_thinking(mark * 100_000)
