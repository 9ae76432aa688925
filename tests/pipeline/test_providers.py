import pytest

from advcluster_dagster.models.google_genai import GoogleGenaiChat, GoogleGenaiEmbedder
from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat, OpenAICompatibleEmbedder
from advcluster_dagster.models.protocol import ChatRequest, EmbeddingRequest, FatalModelError
from advcluster_dagster.pipeline.providers import open_chat_provider, open_embedding_provider
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.models import BUILT_IN_PROVIDERS
from advcluster_dagster.study.study import Study

STUDY = Study.model_validate(
    {
        "study": "s",
        "families": {"f": {"larger": {"model": "l", "provider": "own"}, "smaller": {"model": "m", "provider": "own"}}},
        "domains": {"math": ["b"]},
        "providers": {"own": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "OWN_KEY"}},
    }
)


def test_a_declared_provider_opens_with_its_own_settings() -> None:
    chat, embedder = open_chat_provider("own", STUDY), open_embedding_provider("own", STUDY)
    assert isinstance(chat, OpenAICompatibleChat)
    assert isinstance(embedder, OpenAICompatibleEmbedder)
    assert str(chat.connection.client.base_url) == "http://127.0.0.1:9/v1/"
    chat.close()
    embedder.close()


def test_gemini_opens_by_its_built_in_name_and_as_a_declared_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    declared = {**STUDY.model_dump(), "providers": {"own": {"kind": "google-genai"}}}
    for name, study in (("google-genai", STUDY), ("own", Study.model_validate(declared))):
        chat, embedder = open_chat_provider(name, study), open_embedding_provider(name, study)
        assert isinstance(chat, GoogleGenaiChat)
        assert isinstance(embedder, GoogleGenaiEmbedder)
        chat.close()
        embedder.close()


def test_openai_itself_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for open_provider in (open_chat_provider, open_embedding_provider):
        with pytest.raises(FatalModelError, match="provider openai: environment variable OPENAI_API_KEY is not set"):
            open_provider("openai", STUDY)


def test_imported_traces_make_no_calls() -> None:
    with pytest.raises(FatalModelError, match=r"provider imported .* makes no calls"):
        open_chat_provider("imported", STUDY)


def test_the_simulated_family_embeds_nothing() -> None:
    with pytest.raises(FatalModelError, match=r"provider simulated .embedding calls. does not support these calls"):
        open_embedding_provider("simulated", STUDY)


def test_an_undeclared_name() -> None:
    with pytest.raises(FatalModelError, match=r"provider nobody .* is not declared"):
        open_chat_provider("nobody", STUDY)


@pytest.mark.parametrize("name", BUILT_IN_PROVIDERS)
def test_every_built_in_name_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    try:
        open_chat_provider(name, STUDY).close()
    except FatalModelError as error:
        assert "is not declared" not in str(error)  # noqa: PT017


def test_the_embedded_providers_answer() -> None:
    analyst = open_chat_provider("embedded", STUDY)
    request = ChatRequest("analyst", (Message("user", "hello"),))
    assert [index for index, _ in analyst.complete([request])] == [0]
    embedder = open_embedding_provider("embedded", STUDY)
    [(_, reply)] = embedder.embed([EmbeddingRequest("wordllama-256", "Tracks units")])
    assert reply.vector.shape == (256,)  # type: ignore[union-attr]


def test_simulated_questions_of_an_unknown_domain() -> None:
    simulated = {"domains": {"poetry": ["b"]}, "benchmarks": {"b": {"source": "simulated"}}}
    study = Study.model_validate({**STUDY.model_dump(), **simulated})
    with pytest.raises(FatalModelError, match="provider simulated: "):
        open_chat_provider("simulated", study)
