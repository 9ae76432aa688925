"""Preference pairs to train on, and the gate in front of them."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.study.base import Settings

Dimension = Literal["factuality", "strategy", "step_coherence", "computational_precision", "signal_to_noise"]


class Preferences(Settings):
    """Pairs of a trace to prefer and one to avoid (docs/preferences.md); `preferences: {}` switches them on.

    Nothing gets out of a benchmark unless its `training` allows it.
    """

    schemes: tuple[Literal["generator", "same_model"], ...] = Field(
        ("generator",),
        min_length=1,
        description="generator: a trace of the larger model is preferred to one of the smaller; same_model: both are of"
        " one model.",
    )
    combinations: tuple[Literal["c_i", "c_c", "i_i", "i_c"], ...] = Field(
        ("c_i",), min_length=1, description="Verdicts of chosen and rejected trace: c correct, i incorrect."
    )
    matched: bool = Field(
        False, description="Whether only questions count that give every scheme and combination, equally many of each."
    )
    n_per_question: StrictInt = Field(1, ge=1, le=1000, description="Most pairs of a question, scheme and combination.")
    model: Role = Field("smaller", description="Whose traces the scheme same_model pairs.")
    dimension: Dimension = Field(
        "step_coherence", description="Dimension of quality of column delta and of the selection top_delta."
    )
    selection: Literal["all", "top_delta", "cluster"] = Field(
        "all", description="Pairs that are selected beside all: by delta, or by cluster; a random control is drawn too."
    )
    k: StrictInt = Field(1000, ge=1, description="Pairs of the selection top_delta.")
    clusters: tuple[Annotated[StrictInt, Field(ge=0)], ...] = Field(
        (), description="Clusters of the selection cluster."
    )
    held_out: tuple[str, ...] = Field(
        (),
        description="Questions that must never be trained on: ids, or files (JSON Lines with `question`; a path from"
        " the home folder). Their near-duplicates are left out as well.",
    )
    max_tokens: StrictInt | None = Field(
        8192, ge=1, description="Most tokens of prompt and trace; null for any, also where they are unknown."
    )
    accepts_unknown_finish: bool = Field(
        False, description="Whether traces without a finish reason, as many imported ones are, count as finished."
    )
    max_length_ratio: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="How many times as long as the other, in tokens, a trace of a pair may be.",
    )

    @model_validator(mode="after")
    def _selection_is_whole(self) -> "Preferences":
        if self.selection == "cluster" and not self.clusters:
            raise ValueError("clusters is [], and selection is 'cluster'; allowed: one or more numbers of clusters")
        if self.clusters and self.selection != "cluster":
            raise ValueError(f"clusters are named, and selection is {self.selection!r}; allowed: selection: cluster")
        for name, values in (("schemes", self.schemes), ("combinations", self.combinations)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {list(values)}; allowed: each once")
        return self
