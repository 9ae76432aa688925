"""Kinds of providers: how each is opened for chat and for embeddings.

Put a provider in a module of its own and its kind in ``PROVIDER_KINDS``. ``pipeline/providers.py`` opens what a study
names; the demonstration brings kinds of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advcluster_dagster.models.protocol import ChatProvider, EmbeddingProvider
from advcluster_dagster.study.models import Provider
from advcluster_dagster.study.study import Study

if TYPE_CHECKING:
    from advcluster_dagster.models.batch_chat import BatchWire


@dataclass(frozen=True)
class ProviderKind:
    """How a kind of provider is opened.

    Attributes:
        chat: opens it for chat calls; None where it makes none.
        embedding: opens it for embeddings; None where it makes none.
        batch: opens its batch interface, for chat calls at a lower price; None where it has none.
        why_none: what to tell a user who asks for calls that it does not make.
        revision: version of models that change with this program; part of the identity of their calls.
    """

    chat: Callable[[str, Provider, Study], ChatProvider] | None = None
    embedding: Callable[[str, Provider, Study], EmbeddingProvider] | None = None
    batch: Callable[[str, Provider], "BatchWire[Any]"] | None = None
    why_none: str = "offers no such calls; name another provider in the study"
    revision: str | None = None


# An SDK takes long to import, so each is imported when its provider is opened.


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


def _open_openai_batches(name: str, settings: Provider) -> "BatchWire[Any]":
    from advcluster_dagster.models.openai_batches import OpenAIBatches
    from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat

    return OpenAIBatches(OpenAICompatibleChat(name, settings))


def _open_google_batches(name: str, settings: Provider) -> "BatchWire[Any]":
    from advcluster_dagster.models.google_batches import GoogleBatches
    from advcluster_dagster.models.google_genai import GoogleGenaiChat

    return GoogleBatches(GoogleGenaiChat(name, settings))


#: By the kind that a study's declaration of a provider names; also the names of providers that need no declaration.
PROVIDER_KINDS: dict[str, ProviderKind] = {
    "openai": ProviderKind(_open_openai_chat, _open_openai_embedder, _open_openai_batches),
    "google-genai": ProviderKind(_open_google_chat, _open_google_embedder, _open_google_batches),
    "vllm": ProviderKind(
        _open_vllm,
        why_none="does not support embeddings; serve the model and declare the server as a provider of kind openai",
    ),
    "imported": ProviderKind(why_none="makes no calls: its traces are imported; run `advcluster import` first"),
}
