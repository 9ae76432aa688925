"""Which provider a name in the study opens.

Here: the one table from names and kinds to providers. Not here: the providers themselves, who asks them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models.protocol import ChatProvider, EmbeddingProvider, FatalModelError
from advcluster_dagster.study.models import Provider
from advcluster_dagster.study.study import Study

#: Built-in providers that are vendors over the network; their names are also the kinds of declared ones.
_VENDORS: tuple[Literal["openai"], Literal["google-genai"]] = ("openai", "google-genai")


@dataclass(frozen=True)
class _Kind:
    """How a kind of provider is opened for chat, chat in batches and embeddings; None where it has no such thing."""

    chat: Callable[[str, Provider, Study], ChatProvider] | None = None
    batch: Callable[[str, Provider, Ledger], ChatProvider] | None = None
    embedding: Callable[[str, Provider, Study], EmbeddingProvider] | None = None
    why_none: str = "offers no such calls; name another provider in the study"


def open_chat_provider(name: str, study: Study, ledger: Ledger | None = None) -> ChatProvider:
    """Open the provider that the study calls by this name.

    Args:
        name: as in the study.
        study: whose settings hold.
        ledger: keeps the batches of a provider in batch mode.

    Raises:
        FatalModelError: the provider makes no chat calls, is not part of this version, or its key is missing.
    """
    settings = study.providers.get(name)
    if settings is None or settings.mode == "direct":
        return cast(ChatProvider, _open(name, study, "chat"))
    open_batches = _KINDS[settings.kind].batch
    if open_batches is None or ledger is None:
        raise FatalModelError(f"provider {name} has no batch mode here; set mode to direct in the study")
    return open_batches(name, settings, ledger)


def in_batch_mode(study: Study) -> Study:
    """The study with every provider that has a batch mode in that mode."""
    vendors: dict[str, Provider] = {name: Provider(kind=name) for name in _VENDORS}
    declared = {
        name: settings.model_copy(update={"mode": "batch"}) if _KINDS[settings.kind].batch else settings
        for name, settings in {**vendors, **study.providers}.items()
    }
    return study.model_copy(update={"providers": declared})


def open_embedding_provider(name: str, study: Study) -> EmbeddingProvider:
    """Open the provider that the study calls by this name, for embeddings.

    Raises:
        FatalModelError: as :func:`open_chat_provider`.
    """
    return cast(EmbeddingProvider, _open(name, study, "embedding"))


def _open(name: str, study: Study, what: str) -> Any:
    settings = study.providers.get(name)
    kind = _KINDS.get(settings.kind if settings else name, _Kind(why_none="is not declared; declare it in the study"))
    factory = getattr(kind, what)
    if factory is None:
        raise FatalModelError(f"provider {name} ({what} calls) {kind.why_none}")
    return factory(name, settings or Provider(), study)


# SDKs and embedded models take long to import, so each is imported when it is opened.


def _open_analyst(_name: str, _settings: Provider, _study: Study) -> ChatProvider:
    from advcluster_dagster.demo.embedded_judges import EmbeddedAnalyst

    return EmbeddedAnalyst()


def _open_embedder(_name: str, _settings: Provider, _study: Study) -> EmbeddingProvider:
    from advcluster_dagster.demo.embedded_judges import EmbeddedEmbedder

    return EmbeddedEmbedder()


def _open_simulated(name: str, _settings: Provider, study: Study) -> ChatProvider:
    from advcluster_dagster.demo.simulated_family import SimulatedFamily
    from advcluster_dagster.demo.simulation.questions import answerable_benchmarks

    try:
        return SimulatedFamily(seed=study.seed, benchmarks=answerable_benchmarks(study))
    except ValueError as error:  # a domain there are no simulated questions for
        raise FatalModelError(f"provider {name}: {error}") from None


def _open_openai_chat(name: str, settings: Provider, _study: Study) -> ChatProvider:
    from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat

    return OpenAICompatibleChat(name, settings)


def _open_openai_embedder(name: str, settings: Provider, _study: Study) -> EmbeddingProvider:
    from advcluster_dagster.models.openai_compatible import OpenAICompatibleEmbedder

    return OpenAICompatibleEmbedder(name, settings)


def _open_google_chat(name: str, settings: Provider, _study: Study) -> ChatProvider:
    from advcluster_dagster.models.google_genai import GoogleGenaiChat

    return GoogleGenaiChat(name, settings)


def _open_google_embedder(name: str, settings: Provider, _study: Study) -> EmbeddingProvider:
    from advcluster_dagster.models.google_genai import GoogleGenaiEmbedder

    return GoogleGenaiEmbedder(name, settings)


def _open_vllm(_name: str, _settings: Provider, study: Study) -> ChatProvider:
    from advcluster_dagster.models.vllm_engine import VllmChat

    return VllmChat(study)


def _open_openai_batches(name: str, settings: Provider, ledger: Ledger) -> ChatProvider:
    from advcluster_dagster.models.batch_chat import BatchChat
    from advcluster_dagster.models.openai_batches import OpenAIBatches
    from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat

    return BatchChat(OpenAIBatches(OpenAICompatibleChat(name, settings)), ledger)


def _open_google_batches(name: str, settings: Provider, ledger: Ledger) -> ChatProvider:
    from advcluster_dagster.models.batch_chat import BatchChat
    from advcluster_dagster.models.google_batches import GoogleBatches
    from advcluster_dagster.models.google_genai import GoogleGenaiChat

    return BatchChat(GoogleBatches(GoogleGenaiChat(name, settings)), ledger)


#: Built-in providers by name, and declared ones by the `kind` in their declaration.
_KINDS = {
    "embedded": _Kind(chat=_open_analyst, embedding=_open_embedder),
    "simulated": _Kind(chat=_open_simulated),
    "openai": _Kind(chat=_open_openai_chat, batch=_open_openai_batches, embedding=_open_openai_embedder),
    "google-genai": _Kind(chat=_open_google_chat, batch=_open_google_batches, embedding=_open_google_embedder),
    "imported": _Kind(why_none="makes no calls: its traces are imported; run `advcluster import` first"),
    "vllm": _Kind(chat=_open_vllm, why_none="makes no embeddings here; serve the embedder and name it as openai"),
}
