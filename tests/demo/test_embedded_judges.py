"""Embedded analyst and embedder through their protocols."""

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advcluster_dagster.demo.embedded_judges import (
    NO_CONTRAST,
    STAND_IN,
    EmbeddedAnalyst,
    EmbeddedEmbedder,
    embed_texts,
)
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)  # fmt: skip
from advcluster_dagster.science.advantage_extraction.messages import extraction_messages
from advcluster_dagster.science.advantage_extraction.replies import (
    ExtractionReply,
    parse_extraction_reply,
    style_violations,
)  # fmt: skip
from advcluster_dagster.science.prompting import Message, PromptTemplate, parse_template
from advcluster_dagster.science.semantic_clustering.messages import NamedCluster, naming_messages, review_messages
from advcluster_dagster.science.semantic_clustering.replies import (
    CandidateReview,
    ClusterName,
    parse_candidate_review,
    parse_cluster_name,
)  # fmt: skip


def template(name: str) -> PromptTemplate:
    return parse_template(name, resources.files("advcluster_dagster.prompts").joinpath(f"{name}.md").read_text())


TEMPLATES = {name: template(name) for name in ("extraction", "naming", "review")}


def ask(messages: tuple[Message, ...], trial: int = 0) -> ChatReply:
    ((index, reply),) = EmbeddedAnalyst().complete([ChatRequest("analyst", messages, trial=trial)])
    assert index == 0
    assert isinstance(reply, ChatReply)
    assert reply.served_model == STAND_IN
    return reply


def extract(problem: str, right: str, wrong: str) -> ExtractionReply:
    return parse_extraction_reply(
        ask(extraction_messages(TEMPLATES["extraction"], problem, right, wrong, "1", "2")).text
    )


def name(descriptions: list[str]) -> ClusterName:
    return parse_cluster_name(ask(naming_messages(TEMPLATES["naming"], descriptions, [])).text)


def review(clusters: list[NamedCluster], trial: int = 0) -> CandidateReview:
    return parse_candidate_review(ask(review_messages(TEMPLATES["review"], clusters), trial).text)


def test_extraction_reply_keeps_the_rules() -> None:
    reply = extract("What is 61*8+35?", "60*8=480. 1*8=8. 480+8=488. \\boxed{523}", "60*8=480. 1*8=9. \\boxed{524}")
    assert reply.failure_stage == "Process Skills"
    assert 2 <= len(reply.advantages) <= 3
    assert len({item.advantage for item in reply.advantages}) == len(reply.advantages)
    for item in reply.advantages:
        assert style_violations(item.advantage) == []
        assert "1*8=8" in item.evidence
        assert "1*8=9" in item.evidence


@pytest.mark.parametrize(
    ("right", "wrong", "detail"),
    [
        ("12", "14", "neither response holds reasoning"),
        ("3 * 4 = 12. \\boxed{12}", "[1, 2]", "the wrong response holds no reasoning"),
        ('{"answer": 12}', "3 * 4 = 14. \\boxed{14}", "the right response holds no reasoning"),
        ("3 * 4 = 12. \\boxed{12}", "We see 12 = 4 * 3. \\boxed{17}", "differ in no place that is clearly more"),
    ],
)
def test_no_contrast_is_a_failure_by_name(right: str, wrong: str, detail: str) -> None:
    messages = extraction_messages(TEMPLATES["extraction"], "3*4?", right, wrong, "1", "2")
    ((_, outcome),) = EmbeddedAnalyst().complete([ChatRequest("analyst", messages)])
    assert isinstance(outcome, CallFailure)
    assert outcome.reason == NO_CONTRAST == "no_contrast"
    assert detail in outcome.detail


ANY = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="0123456789+-*/=().,[]'\"\\{}<>: \nabxdefboxtru%$^", max_size=400),
)


@settings(max_examples=300, deadline=None)
@given(ANY, ANY, ANY)
@example("", "", "\x08a\x00")  # replies must not contain control characters
def test_any_texts_give_a_valid_extraction_or_none(problem: str, right: str, wrong: str) -> None:
    messages = extraction_messages(TEMPLATES["extraction"], problem, right, wrong, "1", "2")
    ((_, outcome),) = EmbeddedAnalyst().complete([ChatRequest("analyst", messages)])
    if isinstance(outcome, CallFailure):
        assert outcome.reason == NO_CONTRAST
        return
    reply = parse_extraction_reply(outcome.text)
    assert all(style_violations(item.advantage) == [] for item in reply.advantages)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=120), max_size=8))
def test_any_descriptions_give_a_valid_name(descriptions: list[str]) -> None:
    named = name(descriptions)
    assert named.tag.split()[0].lower().endswith("ing")
    assert len(named.tag.split()) >= 2


def test_naming_is_specific_to_the_cluster() -> None:
    copying = name(["Copies stated figures exactly as written", "Transcribes stated figures faithfully"])
    goals = name(["Keeps the requested goal in view until the end", "Pursues the requested goal before stopping"])
    assert copying.tag != goals.tag
    assert copying.tag.endswith("Figures")
    assert goals.tag.endswith("Goal")
    for named in (copying, goals):
        assert 2 <= len(named.tag.split()) <= 4
        assert 2 <= named.definition.count(". ") + 1 <= 4


def clusters(sizes: list[int], definition: str = "The solver attends to part {}.") -> list[NamedCluster]:
    return [NamedCluster(i, f"Handling {'abcdefghij'[i] * 6}", definition.format(i), n) for i, n in enumerate(sizes)]


def test_review_prefers_balance_and_depends_on_the_trial() -> None:
    even, skewed = clusters([50] * 6), clusters([290, 2, 2, 2, 2, 2])
    # One look shifts a single score by one point, so a difference above two is the cluster sizes'.
    assert review(even).balance - review(skewed).balance > 2
    looks = [review(even, trial).model_dump() for trial in range(5)]
    assert looks == [review(even, trial).model_dump() for trial in range(5)]
    assert len({json.dumps(look) for look in looks}) > 1


def test_review_of_one_cluster() -> None:
    assert 5 <= review(clusters([3])).total <= 50


def test_unknown_task_and_model() -> None:
    outcomes = list(EmbeddedAnalyst().complete([ChatRequest("analyst", (Message("user", "Hello?"),))]))
    assert isinstance(outcomes[0][1], CallFailure)
    with pytest.raises(FatalModelError, match="no chat model 'gpt'"):
        list(EmbeddedAnalyst().complete([ChatRequest("gpt", ())]))


def test_a_repeat_with_its_fault_named_is_answered() -> None:
    messages = extraction_messages(TEMPLATES["extraction"], "1+1?", "1+1=2. \\boxed{2}", "1+1=3. \\boxed{3}", "2", "3")
    again = (*messages, Message("assistant", "no"), Message("user", "The reply holds no complete JSON object."))
    assert ask(again).text == ask(messages).text


def test_embeddings_are_unit_vectors() -> None:
    texts = ["Copies stated figures", "Keeps the goal in view", "Copies stated figures", "x" * 50_000]
    outcomes = list(EmbeddedEmbedder().embed([EmbeddingRequest("wordllama-256", text) for text in texts]))
    vectors = [reply.vector for _, reply in outcomes if isinstance(reply, EmbeddingReply)]
    assert [index for index, _ in outcomes] == [0, 1, 2, 3]
    assert all(vector.shape == (256,) and vector.dtype == np.float32 for vector in vectors)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    # A text's vector does not depend on what it is embedded with.
    np.testing.assert_allclose(embed_texts([texts[1]])[0], vectors[1], atol=1e-6)


def test_empty_text_is_a_failure() -> None:
    outcomes = dict(EmbeddedEmbedder().embed([EmbeddingRequest("wordllama-256", text) for text in ("", " \n", "a")]))
    assert [isinstance(outcomes[index], CallFailure) for index in range(3)] == [True, True, False]
    assert list(EmbeddedEmbedder().embed([])) == []


def test_embedder_refuses_other_models_and_sizes() -> None:
    with pytest.raises(FatalModelError, match="no embedder 'ada'"):
        list(EmbeddedEmbedder().embed([EmbeddingRequest("ada", "a")]))
    with pytest.raises(FatalModelError, match="256 dimensions, not 64"):
        list(EmbeddedEmbedder().embed([EmbeddingRequest("wordllama-256", "a", dimensions=64)]))


def test_loading_leaves_logging_alone() -> None:
    code = (
        "import logging; from advcluster_dagster.demo.embedded_judges import embed_texts; embed_texts(['a']); "
        "assert logging.getLogger().handlers == [] and logging.getLogger().level == logging.WARNING"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
