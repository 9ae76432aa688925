"""Shapes of language models: the layer dimensions that determine FLOPs.

Supports Llama-like decoders: attention with optionally shared keys and values, feed-forward parts that may be gated or
a mixture of experts, and optional sliding-window layers. See ``flops`` for the formulas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from advcluster_dagster.errors import AdvClusterError

_SHIPPED = Path(__file__).with_suffix(".yaml")
#: Model types with an ungated feed-forward part, although their config.json has the same fields as gated models.
_UNGATED = frozenset(("arcee", "gpt_neox", "nemotron", "phi", "starcoder2"))
#: Fields that indicate unsupported components, with the component's name.
_UNSUPPORTED = {
    "kv_lora_rank": "latent attention",
    "n_shared_experts": "shared experts",
    "shared_expert_intermediate_size": "shared experts",
    "mlp_only_layers": "dense layers among those with experts",
    "first_k_dense_replace": "dense layers among those with experts",
    "encoder_layers": "an encoder",
}


class ShapeError(AdvClusterError, ValueError):
    """A configuration does not determine a model's shape; the one-line message names the field."""


@dataclass(frozen=True)
class ModelShape:
    """Layer dimensions of a decoder.

    Args:
        vocabulary: V, vocabulary size of the output layer, >= 1.
        width: d, width of the residual stream, >= 1.
        feed_forward: f, width of the feed-forward part, per expert for a mixture of experts, >= 1.
        heads: h, number of query heads, >= 1.
        layers: N, number of layers, >= 1.
        kv_heads: Number of key and value heads; defaults to ``heads``.
        head_dim: e, width of a head; defaults to ``width // heads``.
        feed_forward_matrices: 3 for a gated feed-forward part, 2 for an ungated one.
        n_experts: E, experts per layer; 0 for none.
        experts_per_token: Experts that a token passes through; 0 for none.
        sliding_window: Tokens that a sliding-window layer attends to; 0 for none.
        n_sliding_layers: Number of sliding-window layers, at most ``layers``.

    Raises:
        ShapeError: A number is out of range.
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
            minimum = 0 if field.name in _MAY_BE_ZERO else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ShapeError(f"shape of a model: {field.name} is {value!r}, must be an integer >= {minimum}")
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
        """Number of weights of a layer that a token is multiplied with: attention, feed-forward part and router."""
        attention = 2 * self.width * self.head_dim * (self.heads + self.kv_heads)
        feed_forward = self.feed_forward_matrices * self.width * self.active_feed_forward
        return attention + feed_forward + self.width * self.n_experts

    @property
    def active_parameters(self) -> int:
        """Number of weights that a token is multiplied with, including the output layer, without biases and norms."""
        return self.layer_parameters * self.layers + self.width * self.vocabulary


_MAY_BE_ZERO = frozenset(("n_experts", "experts_per_token", "sliding_window", "n_sliding_layers"))


def known_shape(model_name: str) -> ModelShape | None:
    """Shape of a model from the built-in list; None for other models.

    Args:
        model_name: Name with or without its organisation; case-insensitive.

    >>> known_shape("Qwen/qwen3-8b").layers
    36
    """
    return _known_shapes().get(model_name.rsplit("/", maxsplit=1)[-1].lower())


@cache
def _known_shapes() -> dict[str, ModelShape]:
    entries: dict[str, dict[str, int]] = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    return {name.lower(): ModelShape(**entry) for name, entry in entries.items()}


def shape_from_config(config: Mapping[str, Any]) -> ModelShape:
    """Derive the shape of a model from its Hugging Face config.json.

    Supports Llama, Qwen2, Qwen3, Mistral, Mixtral, Gemma, GPT-OSS, Qwen3-MoE and models with the same field names. For
    a multimodal model, the text part (``text_config``) is used.

    Args:
        config: The parsed file.

    Raises:
        ShapeError: A field is missing or not an integer, or the model has unsupported components.
    """
    text = config.get("text_config") or config if isinstance(config, Mapping) else None
    if not isinstance(text, Mapping):
        raise ShapeError("config.json: must be a JSON object")
    unsupported = next((name for name in _UNSUPPORTED if text.get(name)), None)
    if unsupported or text.get("decoder_sparse_step", 1) != 1:
        name = unsupported or "decoder_sparse_step"
        raise ShapeError(f"config.json: {name} indicates {_UNSUPPORTED.get(name, 'dense layers')}: not supported")
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
    """The first of these fields that is present."""
    for name in names:
        value = config.get(name)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int):
                raise ShapeError(f"config.json: {name} is {value!r}, must be an integer")
            return value
    if default is None:
        raise ShapeError(f"config.json: {' or '.join(names)} is missing, so the model's shape is unknown")
    return default


def _sliding(config: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """(window, number of sliding-window layers); ``layer_types`` takes precedence over the rules of older files."""
    window = _field(config, "sliding_window", default=0)
    if not window or config.get("use_sliding_window") is False:
        return 0, 0
    kinds = config.get("layer_types")
    if kinds is not None:
        if not isinstance(kinds, list):
            raise ShapeError(f"config.json: layer_types is {kinds!r}, must be a list")
        n_sliding = sum(kind == "sliding_attention" for kind in kinds)
    elif pattern := _field(config, "sliding_window_pattern", "_sliding_window_pattern", default=0):
        n_sliding = layers - layers // pattern  # the last layer of each such run has full attention
    elif config.get("model_type") in ("gemma2", "gpt_oss"):
        n_sliding = (layers + 1) // 2  # every other layer, from the first
    else:
        first = _field(config, "max_window_layers", default=0) if config.get("use_sliding_window") else 0
        n_sliding = max(layers - first, 0)
    return (window, n_sliding) if n_sliding else (0, 0)
