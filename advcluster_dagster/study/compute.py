"""Settings of accuracy against compute: layers of the models."""

from typing import Annotated

from pydantic import Field, StrictInt, model_validator

from advcluster_dagster.study.base import Settings

Count = Annotated[StrictInt, Field(ge=1)]


class Shape(Settings):
    """Layers of a model, from its ``config.json`` or as single numbers."""

    config: str | None = Field(
        None,
        min_length=1,
        description="Path of its Hugging Face config.json from the home folder; excludes all other settings.",
    )
    vocabulary: Count | None = Field(None, description="Tokens of the vocabulary V.")
    width: Count | None = Field(None, description="Model width d.")
    feed_forward: Count | None = Field(None, description="Feed-forward width f, per expert if there are several.")
    heads: Count | None = Field(None, description="Attention heads h.")
    layers: Count | None = Field(None, description="Layers N.")
    kv_heads: StrictInt = Field(0, ge=0, description="Key and value heads; 0: as many as heads.")
    head_dim: StrictInt = Field(0, ge=0, description="Width of a head; 0: width / heads.")
    feed_forward_matrices: StrictInt = Field(3, ge=2, le=3, description="3 for a gated feed-forward part, otherwise 2.")
    n_experts: StrictInt = Field(0, ge=0, description="Experts per layer; 0 without experts.")
    experts_per_token: StrictInt = Field(0, ge=0, description="Experts that a token passes through; 0 without experts.")
    sliding_window: StrictInt = Field(0, ge=0, description="Tokens that a sliding-window layer attends to.")
    n_sliding_layers: StrictInt = Field(0, ge=0, description="Sliding-window layers.")

    @model_validator(mode="after")
    def _is_whole(self) -> "Shape":
        needed = ("vocabulary", "width", "feed_forward", "heads", "layers")
        given = [name for name in needed if getattr(self, name) is not None]
        if self.config is None and len(given) < len(needed):
            missing = ", ".join(name for name in needed if name not in given)
            raise ValueError(f"has neither config nor {missing}; allowed: config, or all of {', '.join(needed)}")
        others = sorted(self.model_fields_set - {"config"})
        if self.config is not None and others:
            raise ValueError(f"has config and {others[0]}; allowed: one of them")
        if bool(self.n_experts) != bool(self.experts_per_token) or self.experts_per_token > self.n_experts:
            raise ValueError(
                "n_experts and experts_per_token do not fit; allowed: 1 to n_experts per token, or neither"
            )
        if self.n_sliding_layers and not self.sliding_window:
            raise ValueError("n_sliding_layers is given without sliding_window; give both")
        return self


class Compute(Settings):
    """Accuracy against tokens, FLOPs and cost (docs/compute.md); `compute: {}` enables it."""

    estimates_tokens: bool = Field(
        False,
        description="Whether missing token counts, as in many imported traces, are estimated as a quarter of the"
        " characters; such trials are counted.",
    )
    shapes: dict[str, Shape] = Field(
        default_factory=dict,
        description="Layers by model name. Built in for Qwen3-8B, Qwen3-32B, gpt-oss-20b and gpt-oss-120b; read from"
        " config.json for a model that is a local folder. Without layers, FLOPs are null.",
    )
