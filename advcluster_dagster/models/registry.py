"""Kinds of providers and how to open them for chat and embeddings.

To add a provider, implement it in a new module and add its kind to ``PROVIDER_KINDS``. ``pipeline/providers.py`` opens
the providers of a study; the demonstration adds its own kinds.
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
    """Factory functions of a kind of provider.

    Attributes:
        chat: opens it for chat calls; None if unsupported.
        embedding: opens it for embeddings; None if unsupported.
        batch: opens its batch interface, for chat calls at a lower price; None if unsupported.
        unsupported_reason: message for users who request calls that it does not support.
        name_in_calls: name of a model in calls, for models whose name in the study does not identify their content.
        revision: version of models that change with this program; part of the identity of their calls.
    """

    chat: Callable[[str, Provider, Study], ChatProvider] | None = None
    embedding: Callable[[str, Provider, Study], EmbeddingProvider] | None = None
    batch: Callable[[str, Provider], "BatchWire[Any]"] | None = None
    unsupported_reason: str = "does not support these calls; choose another provider in the study"
    revision: str | None = None
    name_in_calls: Callable[[str], str] | None = None


# SDKs are slow to import, so each is imported when its provider is opened.


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


def _open_onnx_embedder(_name: str, _settings: Provider, study: Study) -> EmbeddingProvider:
    from advcluster_dagster.models.onnx_embeddings import OnnxEmbedder

    return OnnxEmbedder(study.judges.embedder.model)


def _onnx_name(model: str) -> str:
    from advcluster_dagster.models.onnx_embeddings import onnx_model_name

    return onnx_model_name(model)


def _open_openai_batches(name: str, settings: Provider) -> "BatchWire[Any]":
    from advcluster_dagster.models.openai_batches import OpenAIBatches
    from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat

    return OpenAIBatches(OpenAICompatibleChat(name, settings))


def _open_google_batches(name: str, settings: Provider) -> "BatchWire[Any]":
    from advcluster_dagster.models.google_batches import GoogleBatches
    from advcluster_dagster.models.google_genai import GoogleGenaiChat

    return GoogleBatches(GoogleGenaiChat(name, settings))


#: By the ``kind`` of a declared provider; also by name for providers that need no declaration.
PROVIDER_KINDS: dict[str, ProviderKind] = {
    "openai": ProviderKind(_open_openai_chat, _open_openai_embedder, _open_openai_batches),
    "google-genai": ProviderKind(_open_google_chat, _open_google_embedder, _open_google_batches),
    "vllm": ProviderKind(
        _open_vllm,
        unsupported_reason=(
            "does not support embeddings; serve the model and declare the server as a provider of kind openai"
        ),
    ),
    "onnx": ProviderKind(
        embedding=_open_onnx_embedder, unsupported_reason="only embeds texts", name_in_calls=_onnx_name
    ),
    "imported": ProviderKind(
        unsupported_reason="makes no calls: its traces are imported; run `advcluster import` first"
    ),
}
