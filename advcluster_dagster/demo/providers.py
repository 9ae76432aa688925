"""Providers of the demonstration: simulated model families, embedded analyst and embedder; none needs a key."""

from advcluster_dagster.demo.simulation.questions import GENERATOR_VERSION
from advcluster_dagster.models.protocol import ChatProvider, EmbeddingProvider, FatalModelError
from advcluster_dagster.models.registry import ProviderKind
from advcluster_dagster.study.models import Provider
from advcluster_dagster.study.study import Study

#: Increment when the embedded analyst's answers change.
ANALYST_REVISION = "analyst-2"

# Word vectors and the generator are slow to import, so each is imported when its provider is opened.


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
    except ValueError as error:  # no simulated questions for a domain
        raise FatalModelError(f"provider {name}: {error}") from None


DEMO_PROVIDER_KINDS: dict[str, ProviderKind] = {
    "embedded": ProviderKind(_open_analyst, _open_embedder, revision=ANALYST_REVISION),
    "simulated": ProviderKind(_open_simulated, revision=GENERATOR_VERSION),
}
