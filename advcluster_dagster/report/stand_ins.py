"""Identify results of real traces that an embedded judge, a stand-in without language understanding, produced."""

from advcluster_dagster.study.study import Study

STAND_IN_NOTE = "produced by the embedded reader, a stand-in without language understanding, and are not findings"


def is_stand_in(study: Study, family: str, part: str) -> bool:
    """Whether an embedded judge (``extractor`` or ``summariser``) processed traces that are not simulated."""
    models = study.families[family]
    is_simulated = models.larger.provider == models.smaller.provider == "simulated"
    return bool(getattr(study.judges, part).provider == "embedded") and not is_simulated


def explorer_notice(study: Study, family: str) -> str | None:
    """Explorer notice for a family whose evidence an embedded judge produced; None if not needed."""
    if is_stand_in(study, family, "extractor"):
        return f"Advantages, evidence, first errors and tags of {family} were {STAND_IN_NOTE}."
    return (
        f"Tags and definitions of {family} were {STAND_IN_NOTE}." if is_stand_in(study, family, "summariser") else None
    )
