from advcluster_dagster.demo.embedded_judges import EmbeddedEmbedder
from advcluster_dagster.demo.simulated_family import SimulatedFamily
from advcluster_dagster.demo.simulation.questions import simulated_questions
from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat, OpenAICompatibleEmbedder
from advcluster_dagster.models.protocol import (
    CallFailure,
    ChatReply,
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FatalModelError,
)
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.models import Provider
from tests.providers.small_provider import SmallProvider, analyst


def test_the_stand_ins_answer_over_http_as_they_do_in_process() -> None:
    prompt = simulated_questions("worked-math", "math", 0)["prompt"][0]
    trials = [
        ChatRequest("orion-small", (Message("user", prompt),), {"seed": trial}, trial=trial) for trial in range(3)
    ]
    texts = [EmbeddingRequest("wordllama-256", text) for text in ("Tracks units", "", "Verifies results")]
    with SmallProvider(analyst(seed=0)) as server:
        settings = Provider(base_url=server.url)
        chat, embedder = OpenAICompatibleChat("p", settings), OpenAICompatibleEmbedder("p", settings)
        replies = dict(chat.complete(trials))
        vectors = dict(embedder.embed(texts))
        chat.close()
        embedder.close()
    assert server.stats.repeated == 0
    for index, here in SimulatedFamily(seed=0).complete(trials):
        over_http = replies[index]
        assert isinstance(here, ChatReply)
        assert isinstance(over_http, ChatReply)
        assert over_http.text == here.text
    assert isinstance(vectors[1], CallFailure)
    for index, embedded in EmbeddedEmbedder().embed(texts):
        if isinstance(embedded, EmbeddingReply):
            over_http_vector = vectors[index]
            assert isinstance(over_http_vector, EmbeddingReply)
            assert over_http_vector.vector.tobytes() == embedded.vector.tobytes()


def test_without_a_seed_the_times_a_body_came_are_the_trial() -> None:
    prompt = simulated_questions("worked-math", "math", 0)["prompt"][0]
    trials = [ChatRequest("orion-small", (Message("user", prompt),), trial=trial) for trial in range(3)]
    with SmallProvider(analyst(seed=0)) as server:
        chat = OpenAICompatibleChat("p", Provider(base_url=server.url, max_in_flight=1))
        replies = dict(chat.complete(trials))
        chat.close()
    assert server.stats.repeated == 2
    assert [(index, reply.text) for index, reply in sorted(replies.items())] == [
        (index, reply.text) for index, reply in SimulatedFamily(seed=0).complete(trials)
    ]


def test_a_model_nobody_is() -> None:
    with SmallProvider(analyst(seed=0)) as server:
        chat = OpenAICompatibleChat("p", Provider(base_url=server.url))
        try:
            list(chat.complete([ChatRequest("nobody", (Message("user", "hello"),))]))
        except FatalModelError as error:
            message = str(error)
        chat.close()
    assert "no model nobody at" in message
