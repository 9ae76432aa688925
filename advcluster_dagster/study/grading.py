"""Settings of grading (paper section 3.2.1): time limits, and the judge panel for answers that no rule decides."""

from collections.abc import Sequence
from itertools import count

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.models import Model


class Grading(Settings):
    """Grading of answers; time limits are processor seconds, so that load on the machine does not change verdicts."""

    math_timeout_s: float = Field(
        1.0, gt=0, le=600, description="Time limit of one symbolic comparison, processor seconds."
    )
    program_timeout_s: float = Field(
        1.0, gt=0, le=600, description="Time limit of one run of a benchmark's program, processor seconds."
    )
    n_workers: StrictInt | None = Field(
        None, ge=1, le=1024, description="Parallel comparisons; None is one per processor."
    )
    panel: tuple[Model, ...] = Field(
        (),
        description="Models, at least two, that vote on answers that no rule decides; empty: no panel.",
    )
    n_agreement_pairs: StrictInt = Field(
        50,
        ge=0,
        description="Distinct answers per family and domain decided by rules on which a panel also votes, to measure"
        " its agreement with the rules.",
    )

    @model_validator(mode="after")
    def _panel_can_vote(self) -> "Grading":
        if len(self.panel) == 1:
            raise ValueError("panel has 1 model; allowed: none, or at least two, of which most must agree")
        identities = [model.request_identity for model in self.panel]
        for place, model in enumerate(self.panel):
            if model.request_identity in identities[:place]:
                raise ValueError(f"panel has {model.model!r} of {model.provider} twice; allowed: different models")
        return self


def judge_names(panel: Sequence[Model]) -> tuple[str, ...]:
    """Return the members' names in the panel's order: label or model; equal names are numbered from 1.

    >>> twice = Model(model="a", provider="openai")
    >>> judge_names([twice, Model(model="b", provider="openai"), twice])
    ('a (1)', 'b', 'a (2)')
    """
    shown = [model.shown_as for model in panel]
    names: list[str] = []
    for name in shown:
        numbered = (f"{name} ({number})" for number in count(1))
        free = (other for other in numbered if other not in (*names, *shown))
        names.append(name if shown.count(name) == 1 else next(free))
    return tuple(names)
