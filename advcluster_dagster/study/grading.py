"""How answers are graded (paper section 3.2.1): time limits, and the panel of models for what no rule decides."""

from collections.abc import Sequence
from itertools import count

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Settings
from advcluster_dagster.study.models import Model


class Grading(Settings):
    """How answers are graded; the time limits are processor seconds, so that a busy machine changes no verdict."""

    math_timeout_s: float = Field(
        1.0, gt=0, le=600, description="Processor seconds that one symbolic comparison may take."
    )
    program_timeout_s: float = Field(
        1.0, gt=0, le=600, description="Processor seconds that one run of a benchmark's program may take."
    )
    n_workers: StrictInt | None = Field(
        None, ge=1, le=1024, description="Comparisons made at a time; None is one per processor."
    )
    panel: tuple[Model, ...] = Field(
        (),
        description="Models, at least two, that vote on answers which no rule could decide; empty is no panel.",
    )
    n_agreement_pairs: StrictInt = Field(
        50,
        ge=0,
        description="With a panel, distinct answers of a family and domain that the rules did decide and that it votes"
        " on too, to measure how far both agree.",
    )

    @model_validator(mode="after")
    def _panel_can_vote(self) -> "Grading":
        if len(self.panel) == 1:
            raise ValueError("panel has 1 model; allowed: none, or at least two, of which most must agree")
        asked = [model.asked_as for model in self.panel]
        for place, model in enumerate(self.panel):
            if model.asked_as in asked[:place]:
                raise ValueError(f"panel holds {model.model!r} of {model.provider} twice; allowed: different models")
        return self


def judge_names(panel: Sequence[Model]) -> tuple[str, ...]:
    """Names of the members in the panel's order: label, else model; equal ones get a number, counted from 1.

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
