"""Open the providers of a study.

``KINDS`` has all kinds of providers: those of vendors (``models``) and those of the demo (``demo``).
"""

from collections.abc import Callable
from typing import Literal, TypeVar

from advcluster_dagster.demo.providers import DEMO_PROVIDER_KINDS
from advcluster_dagster.ledger.budget import Budget
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.models.batch_chat import BatchChat
from advcluster_dagster.models.connection import Connection
from advcluster_dagster.models.protocol import ChatProvider, EmbeddingProvider, FatalModelError
from advcluster_dagster.models.registry import PROVIDER_KINDS, ProviderKind
from advcluster_dagster.study.models import Model, Provider
from advcluster_dagster.study.study import Study

P = TypeVar("P", ChatProvider, EmbeddingProvider)

KINDS: dict[str, ProviderKind] = {**DEMO_PROVIDER_KINDS, **PROVIDER_KINDS}
_UNDECLARED = ProviderKind(unsupported_reason="is not declared; declare it in the study")
#: Vendors that need no declaration; their names are also the kinds of declared ones.
_VENDORS: tuple[Literal["openai"], Literal["google-genai"]] = ("openai", "google-genai")


def open_chat_provider(name: str, study: Study, ledger: Ledger | None = None) -> ChatProvider:
    """Open a provider of the study for chat calls.

    Args:
        name: name of the provider in the study.
        study: declares the provider.
        ledger: records the batches of a provider in batch mode.

    Raises:
        FatalModelError: the provider makes no chat calls, is not declared, or its key is missing.
    """
    settings = study.providers.get(name)
    kind = _kind(name, settings)
    if settings is not None and settings.mode == "batch":
        if kind.batch is None or ledger is None:
            raise FatalModelError(f"provider {name} has no batch mode; set mode to direct in the study")
        return BatchChat(kind.batch(name, settings), ledger)
    if kind.chat is None:
        raise FatalModelError(f"provider {name} (chat calls) {kind.unsupported_reason}")
    return kind.chat(name, settings or Provider(), study)


def open_embedding_provider(name: str, study: Study) -> EmbeddingProvider:
    """Open a provider of the study for embeddings.

    Raises:
        FatalModelError: the provider makes no embeddings, is not declared, or its key is missing.
    """
    settings = study.providers.get(name)
    kind = _kind(name, settings)
    if kind.embedding is None:
        raise FatalModelError(f"provider {name} (embedding calls) {kind.unsupported_reason}")
    return kind.embedding(name, settings or Provider(), study)


def with_budget(provider: P, open_budget: Callable[[], Budget | None]) -> P:
    """Apply a budget to an opened provider if it calls over a connection; other providers cost no API money.

    Raises:
        FatalModelError: a model of the study has no known price; the provider is then closed.
    """
    connection = getattr(provider, "connection", None)
    if isinstance(connection, Connection):
        try:
            connection.budget = open_budget() or connection.budget
        except BaseException:
            provider.close()
            raise
    return provider


def in_batch_mode(study: Study) -> Study:
    """Return the study with batch mode set for every provider that supports it."""
    vendors: dict[str, Provider] = {name: Provider(kind=name) for name in _VENDORS}
    declared = {
        name: settings.model_copy(update={"mode": "batch"}) if KINDS[settings.kind].batch else settings
        for name, settings in {**vendors, **study.providers}.items()
    }
    return study.model_copy(update={"providers": declared})


def model_name_in_calls(model: Model) -> str:
    """The name by which calls refer to a model: the study's, or for a folder of files one that depends on its content.

    Raises:
        FatalModelError: the model's files are missing.
    """
    kind = KINDS.get(model.provider)
    return model.model if kind is None or kind.name_in_calls is None else kind.name_in_calls(model.model)


def model_content(model: Model) -> str | None:
    """The part of a model's name in calls that identifies its files; None for models without files, or missing ones."""
    try:
        name = model_name_in_calls(model)
    except FatalModelError:
        return None
    return None if name == model.model else name


def provider_revision(name: str) -> str | None:
    """Return the version of a built-in provider's models, part of the identity of their calls; None for vendors."""
    return KINDS[name].revision if name in KINDS else None


def _kind(name: str, settings: Provider | None) -> ProviderKind:
    return KINDS.get(settings.kind if settings else name, _UNDECLARED)
