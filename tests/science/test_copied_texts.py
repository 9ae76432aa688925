import re

import pytest

from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.advantage_extraction import replies as extraction
from advcluster_dagster.science.copied_texts import is_form_text, is_same_text, words_of
from advcluster_dagster.science.grading import equivalence
from advcluster_dagster.science.semantic_clustering import replies as naming

FORM = ("what goes wrong first", "Reading | Comprehension | Encoding", "advantage")
FORM_TEXTS = {
    "extraction": (*extraction.FORM_TEXTS, "advantage", "evidence"),
    "naming": naming.FORM_TEXTS,
    "equivalence": equivalence.FORM_TEXTS,
}


@pytest.mark.parametrize(
    "text",
    [
        "what goes wrong first", "What goes wrong first.", "WHAT  GOES_WRONG-FIRST", "goes wrong",
        "Reading | Comprehension", "comprehension, encoding", "Advantage", "advantage 2",
        "...", "…", "", " ", "?!", "1", "<your text>", "{evidence}", "{{ evidence }}",
    ],
)  # fmt: skip
def test_texts_of_a_form(text):
    assert is_form_text(text, FORM)


@pytest.mark.parametrize(
    "text",
    [
        "what goes wrong first is the sign", "Reading", "first", "Reads the graph", "x", "∫ x", "检查", "<a> and <b>",
        "first what goes", "Advantages", "wrong 2 first",
    ],
)  # fmt: skip
def test_texts_that_are_not_copied(text):
    assert not is_form_text(text, FORM)


def test_equal_texts():
    assert is_same_text("Tracks  units!", "tracks-units")
    assert is_same_text("Sub-stitution", "substitution")
    assert is_same_text("ﬁnal", "Final")
    assert not is_same_text("Tracks units", "Tracks unit")
    assert words_of("Model_A: x = 2") == ("model", "a", "x", "2")


@pytest.mark.parametrize("name", FORM_TEXTS)
def test_the_form_texts_occur_in_the_prompt(name):
    words = " ".join(words_of(load_prompt(name).user))
    for text in FORM_TEXTS[name]:
        assert " ".join(words_of(text)) in words, text


@pytest.mark.parametrize("name", FORM_TEXTS)
def test_every_text_of_the_reply_form_is_known(name):
    form = load_prompt(name).user.split("## Reply")[1]
    texts = re.findall(r': "([^"]*)"', form)
    assert texts
    assert [text for text in texts if not is_form_text(text, FORM_TEXTS[name])] == []
