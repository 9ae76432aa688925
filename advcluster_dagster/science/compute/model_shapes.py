"""Shapes of language models: the numbers of a model's layers that its FLOPs follow from.

Decoders of the Llama kind: attention with heads that may share keys and values, a feed-forward part that may be gated
or a mixture of experts, and layers that may attend to a window alone. Which FLOPs follow is in ``flops``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from advcluster_dagster.errors import AdvClusterError

_SHIPPED = Path(__file__).with_suffix(".yaml")
#: Model types whose feed-forward part is not gated, though their config.json has the fields of those that are.
_UNGATED = frozenset(("arcee", "gpt_neox", "nemotron", "phi", "starcoder2"))
#: Fields of parts whose FLOPs a shape cannot express, with what they are.
_UNSUPPORTED = {
    "kv_lora_rank": "latent attention",
    "n_shared_experts": "shared experts",
    "shared_expert_intermediate_size": "shared experts",
    "mlp_only_layers": "dense layers among those with experts",
    "first_k_dense_replace": "dense layers among those with experts",
    "encoder_layers": "an encoder",
}


class ShapeError(AdvClusterError, ValueError):
    """A configuration does not give a model's shape; one line that names the field."""


@dataclass(frozen=True)
class ModelShape:
    """Numbers of a decoder's layers.

    Args:
        vocabulary: V, tokens of the output layer, >= 1.
        width: d, of the residual stream, >= 1.
        feed_forward: f, width of the feed-forward part, of one expert where there are several, >= 1.
        heads: h, of the queries, >= 1.
        layers: N, >= 1.
        kv_heads: heads of keys and values; as many as ``heads`` unless given.
        head_dim: e, width of a head; ``width // heads`` unless given.
        feed_forward_matrices: 3 for a gated feed-forward part, 2 for a plain one.
        n_experts: E, experts a layer; 0 without any.
        experts_per_token: experts that a token passes through; 0 without any.
        sliding_window: tokens that a layer with a window attends to; 0 without any.
        n_sliding_layers: layers with that window, at most ``layers``.

    Raises:
        ShapeError: a number is out of its range.
    """

    vocabulary: int
    width: int
    feed_forward: int
    heads: int
    layers: int
    kv_heads: int = 0
    head_dim: int = 0
    feed_forward_matrices: int = 3
    n_experts: int = 0
    experts_per_token: int = 0
    sliding_window: int = 0
    n_sliding_layers: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kv_heads", self.kv_heads or self.heads)
        object.__setattr__(self, "head_dim", self.head_dim or self.width // max(self.heads, 1))
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in _MAY_BE_ZERO else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ShapeError(f"shape of a model: {field.name} is {value!r}, must be a whole number >= {least}")
        if self.feed_forward_matrices not in (2, 3):
            raise ShapeError(f"shape of a model: feed_forward_matrices is {self.feed_forward_matrices}, must be 2 or 3")
        if self.n_sliding_layers > self.layers or (self.n_sliding_layers and not self.sliding_window):
            raise ShapeError("shape of a model: n_sliding_layers needs a sliding_window and at most as many layers")
        if not bool(self.n_experts) == bool(self.experts_per_token) or self.experts_per_token > self.n_experts:
            raise ShapeError("shape of a model: experts_per_token must be 1 to n_experts, or both 0")

    @property
    def active_feed_forward(self) -> int:
        """Feed-forward width that a token passes through in a layer."""
        return self.feed_forward * (self.experts_per_token or 1)

    @property
    def layer_parameters(self) -> int:
        """Weights of a layer that a token is multiplied with: attention, feed-forward part and router."""
        attention = 2 * self.width * self.head_dim * (self.heads + self.kv_heads)
        feed_forward = self.feed_forward_matrices * self.width * self.active_feed_forward
        return attention + feed_forward + self.width * self.n_experts

    @property
    def active_parameters(self) -> int:
        """Weights of all layers that a token is multiplied with, the output layer included; biases and norms left
        out.
        """
        return self.layer_parameters * self.layers + self.width * self.vocabulary


_MAY_BE_ZERO = frozenset(("n_experts", "experts_per_token", "sliding_window", "n_sliding_layers"))


def known_shape(model_name: str) -> ModelShape | None:
    """Shape of a model that the package knows; None for any other.

    Args:
        model_name: with or without its organisation, in upper or lower case.

    >>> known_shape("Qwen/qwen3-8b").layers
    36
    """
    return _known_shapes().get(model_name.rsplit("/", maxsplit=1)[-1].lower())


@cache
def _known_shapes() -> dict[str, ModelShape]:
    entries: dict[str, dict[str, int]] = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    return {name.lower(): ModelShape(**entry) for name, entry in entries.items()}


def shape_from_config(config: Mapping[str, Any]) -> ModelShape:
    """Shape of a model from its Hugging Face config.json.

    Made for Llama, Qwen2, Qwen3, Mistral, Mixtral, Gemma, GPT-OSS, Qwen3-MoE and models whose fields are named like
    theirs. Of a model that also sees images, the text part (``text_config``) is read.

    Args:
        config: the parsed file.

    Raises:
        ShapeError: a field is missing or not a whole number, or the model has parts that a shape cannot express.
    """
    text = config.get("text_config") or config if isinstance(config, Mapping) else None
    if not isinstance(text, Mapping):
        raise ShapeError("config.json: is no object with fields")
    unsupported = next((name for name in _UNSUPPORTED if text.get(name)), None)
    if unsupported or text.get("decoder_sparse_step", 1) != 1:
        name = unsupported or "decoder_sparse_step"
        raise ShapeError(f"config.json: {name} tells of {_UNSUPPORTED.get(name, 'dense layers')}: not supported")
    n_experts = _field(text, "num_local_experts", "num_experts", default=0)
    layers = _field(text, "num_hidden_layers")
    window, n_sliding = _sliding(text, layers)
    return ModelShape(
        vocabulary=_field(text, "vocab_size"),
        width=_field(text, "hidden_size"),
        feed_forward=_field(text, *(("moe_intermediate_size",) if n_experts else ()), "intermediate_size"),
        heads=_field(text, "num_attention_heads"),
        layers=layers,
        kv_heads=_field(text, "num_key_value_heads", default=0),
        head_dim=_field(text, "head_dim", default=0),
        feed_forward_matrices=2 if text.get("model_type") in _UNGATED else 3,
        n_experts=n_experts,
        experts_per_token=_field(text, "num_experts_per_tok", "experts_per_token") if n_experts else 0,
        sliding_window=window,
        n_sliding_layers=n_sliding,
    )


def _field(config: Mapping[str, Any], *names: str, default: int | None = None) -> int:
    """The first of these fields that is there."""
    for name in names:
        value = config.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int):
                raise ShapeError(f"config.json: {name} is {value!r}, must be a whole number")
            return value
    if default is None:
        raise ShapeError(f"config.json: {' or '.join(names)} is missing, so the model's shape is not known")
    return default


def _sliding(config: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """(window, layers that have it); a list of the layers' kinds takes precedence over the rules of older files."""
    window = _field(config, "sliding_window", default=0)
    if not window or config.get("use_sliding_window") is False:
        return 0, 0
    kinds = config.get("layer_types")
    if kinds is not None:
        if not isinstance(kinds, list):
            raise ShapeError(f"config.json: layer_types is {kinds!r}, must be a list")
        n_sliding = sum(kind == "sliding_attention" for kind in kinds)
    elif pattern := _field(config, "sliding_window_pattern", "_sliding_window_pattern", default=0):
        n_sliding = layers - layers // pattern  # the last of each run of so many layers sees everything
    elif config.get("model_type") in ("gemma2", "gpt_oss"):
        n_sliding = (layers + 1) // 2  # every other layer, from the first
    else:
        first = _field(config, "max_window_layers", default=0) if config.get("use_sliding_window") else 0
        n_sliding = max(layers - first, 0)
    return (window, n_sliding) if n_sliding else (0, 0)
