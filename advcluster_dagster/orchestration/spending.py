"""Which studies ask models that cost money or hardware.

Here: the one rule by which automation starts switched off. Not here: the cap on what a study spends, which holds for
every call, whoever launched the run.
"""

from advcluster_dagster.study.study import Study

#: Providers whose answers cost neither money nor hours of a GPU: files, the embedded judges, the simulation.
_FREE_PROVIDERS = frozenset({"embedded", "imported", "simulated"})


def asks_paid_models(study: Study) -> bool:
    """Whether a run may ask a model that is neither embedded, imported nor simulated."""
    return any(model.provider not in _FREE_PROVIDERS for _, model in study.all_models())
