"""Settings of preference pairs for training, and of what must not be trained on."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.contracts.columns import Role
from advcluster_dagster.study.base import Settings

Dimension = Literal["factuality", "strategy", "step_coherence", "computational_precision", "signal_to_noise"]


class Preferences(Settings):
    """Pairs of a preferred and a rejected trace (docs/preferences.md); `preferences: {}` enables them.

    A benchmark's traces are exported only if its `training` allows it.
    """

    schemes: tuple[Literal["generator", "same_model"], ...] = Field(
        ("generator",),
        min_length=1,
        description="generator: a trace of the larger model is preferred to one of the smaller; same_model: both are"
        " from one model.",
    )
    combinations: tuple[Literal["c_i", "c_c", "i_i", "i_c"], ...] = Field(
        ("c_i",), min_length=1, description="Verdicts of chosen and rejected trace: c correct, i incorrect."
    )
    matched: bool = Field(
        False,
        description="Whether to use only questions with pairs of every scheme and combination, equally many of each.",
    )
    n_per_question: StrictInt = Field(
        1, ge=1, le=1000, description="Maximum pairs per question, scheme and combination."
    )
    model: Role = Field("smaller", description="Model whose traces scheme same_model pairs.")
    dimension: Dimension = Field(
        "step_coherence", description="Quality dimension of column delta and of selection top_delta."
    )
    selection: Literal["all", "top_delta", "cluster"] = Field(
        "all", description="Selection in addition to all: by delta or by cluster; each with a random control."
    )
    k: StrictInt = Field(1000, ge=1, description="Number of pairs in selection top_delta.")
    clusters: tuple[Annotated[StrictInt, Field(ge=0)], ...] = Field((), description="Clusters for selection cluster.")
    held_out: tuple[str, ...] = Field(
        (),
        description="Questions that must never be trained on: ids, or files (JSON Lines with `question`; paths from the"
        " home folder). Near-duplicates are excluded as well.",
    )
    max_tokens: StrictInt | None = Field(
        8192, ge=1, description="Maximum tokens of prompt and trace; null: no limit, also accepts unknown counts."
    )
    accepts_unknown_finish: bool = Field(
        False, description="Whether traces without a finish reason, such as many imported ones, count as finished."
    )
    max_length_ratio: float | None = Field(
        None,
        ge=1,
        allow_inf_nan=False,
        description="Maximum ratio of the lengths of a pair's traces, in tokens.",
    )

    @model_validator(mode="after")
    def _selection_is_whole(self) -> "Preferences":
        if self.selection == "cluster" and not self.clusters:
            raise ValueError("clusters is [], but selection is 'cluster'; allowed: one or more cluster numbers")
        if self.clusters and self.selection != "cluster":
            raise ValueError(f"clusters are set, but selection is {self.selection!r}; allowed: selection: cluster")
        for name, values in (("schemes", self.schemes), ("combinations", self.combinations)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {list(values)}; allowed: each once")
        return self
