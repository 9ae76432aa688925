"""Which results an embedded judge, a stand-in without language understanding, made of traces that are real."""

from advcluster_dagster.study.study import Study

MADE_BY = "made by the embedded reader, a stand-in without language understanding: not findings"


def is_stand_in(study: Study, family: str, part: str) -> bool:
    """Whether an embedded judge (``extractor`` or ``summariser``) read traces that no generator made."""
    models = study.families[family]
    is_simulated = models.larger.provider == models.smaller.provider == "simulated"
    return bool(getattr(study.judges, part).provider == "embedded") and not is_simulated


def explorer_notice(study: Study, family: str) -> str | None:
    """What the explorer says of a family whose evidence an embedded judge made; None where it needs no notice."""
    if is_stand_in(study, family, "extractor"):
        return f"Advantages, evidence, first errors and tags of {family} were {MADE_BY}."
    return f"Tags and definitions of {family} were {MADE_BY}." if is_stand_in(study, family, "summariser") else None
