"""Revisions of the embedded models, which change with the project rather than with a vendor.

Here: what makes replies of an older version be asked for anew. Not here: the models.
"""

from advcluster_dagster.demo.simulation.questions import GENERATOR_VERSION

#: Raise when the embedded analyst answers differently.
ANALYST_REVISION = "analyst-2"


def provider_revision(provider: str) -> str | None:
    """Revision of a built-in provider's models, part of the identity of their calls; None for models of vendors."""
    return {"embedded": ANALYST_REVISION, "simulated": GENERATOR_VERSION}.get(provider)
