"""FLOPs of prefill and decoding in closed form, over arrays of lengths.

There are two formulas. The published formula (Hoffmann et al. 2022, as given in appendix C of "When does reasoning
matter") assumes heads that together are as wide as the model, separate keys and values per head, two feed-forward
matrices, and an embedding computed as a matrix product. The other formula follows the model's actual layers: shared
keys and values, heads of any width, gated or sparse feed-forward parts, sliding windows, and an embedding lookup. For
a model with narrow layers and wide heads the published formula can be a fifth too low.

Lengths are in tokens, results in floating-point operations as float64; NaN in, NaN out.
"""

import numpy as np
import numpy.typing as npt

from advcluster_dagster.science.compute.model_shapes import ModelShape
from advcluster_dagster.science.statistics.resampling import FloatArray


def prefill_flops(shape: ModelShape, prompt: npt.ArrayLike) -> FloatArray:
    """FLOPs of reading a prompt and computing the logits after its last token, by the model's actual layers.

    2 p W N + 2 d V + (4 h e + 3 h) times the sum over layers and positions of the tokens attended to, where W is the
    number of weights of a layer that a token is multiplied with.

    Args:
        shape: Shape of the model.
        prompt: p, tokens, >= 0, any shape.

    Raises:
        ValueError: A length is negative.
    """
    p = _lengths(prompt)
    return p * _layers_flops(shape) + _logits_flops(shape) + _attention_flops(shape, _attended(shape, p))


def decode_flops(shape: ModelShape, prompt: npt.ArrayLike, generated: npt.ArrayLike) -> FloatArray:
    """FLOPs of generating g tokens after p cached tokens, by the model's actual layers; token i attends to p + i.

    Args:
        shape: Shape of the model.
        prompt: p, tokens, >= 0, any shape.
        generated: g, tokens, >= 0, broadcastable with p.

    Raises:
        ValueError: A length is negative.
    """
    p, g = _lengths(prompt), _lengths(generated)
    attended = _attended(shape, p + g) - _attended(shape, p)
    return g * (_layers_flops(shape) + _logits_flops(shape)) + _attention_flops(shape, attended)


def trace_flops(shape: ModelShape, prompt: npt.ArrayLike, generated: npt.ArrayLike) -> FloatArray:
    """FLOPs of a trace: :func:`prefill_flops` plus :func:`decode_flops`."""
    return prefill_flops(shape, prompt) + decode_flops(shape, prompt, generated)


def samples_flops(shape: ModelShape, prompt: npt.ArrayLike, generated: npt.ArrayLike) -> FloatArray:
    """FLOPs of k samples of a prompt that is read once, as by an engine with k samples per request.

    Args:
        shape: Shape of the model.
        prompt: p, tokens, shape (n,).
        generated: Tokens of each sample, shape (n, k).

    Returns:
        FLOPs of shape (n,).

    Raises:
        ValueError: A length is negative.
    """
    p = _lengths(prompt)
    decoded: FloatArray = decode_flops(shape, p[..., None], generated).sum(axis=-1)
    return prefill_flops(shape, p) + decoded


def published_training_step_flops(shape: ModelShape, length: npt.ArrayLike) -> FloatArray:
    """FLOPs of a training step on a sequence of l tokens by the published formula: three forward passes.

    Forward: 2 l V d + (8 l d² + 4 l² d + 3 l² h) N + 4 l d f N + 2 l d V. The FLOPs of a training run are the sum over
    its sequences.

    Args:
        shape: Shape of the model.
        length: l, tokens, >= 0, any shape.

    Raises:
        ValueError: A length is negative.

    References:
        When does reasoning matter, appendix C, equations 1 to 3.
    """
    n = _lengths(length)
    return 3 * (_published_reading(shape, n) + n * _logits_flops(shape))


def published_prefill_flops(shape: ModelShape, prompt: npt.ArrayLike) -> FloatArray:
    """FLOPs of reading a prompt by the published formula: 2 p d V + (8 p d² + 4 p² d + 3 p² h) N + 4 p d f N + 2 d V.

    Args:
        shape: Shape of the model; f is the total width of the experts that a token passes through.
        prompt: p, tokens, >= 0, any shape.

    Raises:
        ValueError: A length is negative.

    References:
        When does reasoning matter, appendix C, equation 4.
    """
    return _published_reading(shape, _lengths(prompt)) + _logits_flops(shape)


def published_token_flops(shape: ModelShape, context: npt.ArrayLike) -> FloatArray:
    """FLOPs of generating a token at context l by the published formula.

    2 d V + (8 d² + 4 l d + 3 l h) N + 4 d f N + 2 d V. The printed equation ends after the attention; feed-forward part
    and logits are added here as in equation 4.

    Args:
        shape: Shape of the model.
        context: l, tokens, >= 0, any shape.

    Raises:
        ValueError: A length is negative.

    References:
        When does reasoning matter, appendix C, equation 5.
    """
    return _published_fixed(shape) + _published_per_context(shape) * _lengths(context)


def published_trace_flops(shape: ModelShape, prompt: npt.ArrayLike, generated: npt.ArrayLike) -> FloatArray:
    """FLOPs of a trace by the published formula: the prompt, then g tokens at contexts p + 1 to p + g.

    Args:
        shape: Shape of the model.
        prompt: p, tokens, >= 0, any shape.
        generated: g, tokens, >= 0, broadcastable with p.

    Raises:
        ValueError: A length is negative.

    References:
        When does reasoning matter, appendix C, equation 6.
    """
    p, g = _lengths(prompt), _lengths(generated)
    contexts = g * p + g * (g + 1) / 2
    return published_prefill_flops(shape, p) + g * _published_fixed(shape) + _published_per_context(shape) * contexts


def _lengths(values: npt.ArrayLike) -> FloatArray:
    lengths = np.asarray(values, dtype=np.float64)
    if (lengths < 0).any():
        raise ValueError("a number of tokens is negative")
    return lengths


def _layers_flops(shape: ModelShape) -> float:
    """FLOPs of one token through the weights of all layers."""
    return 2.0 * shape.layer_parameters * shape.layers


def _logits_flops(shape: ModelShape) -> float:
    """FLOPs of one token through the output layer; the published formula counts the same for the embedding."""
    return 2.0 * shape.width * shape.vocabulary


def _attention_flops(shape: ModelShape, attended: FloatArray) -> FloatArray:
    """FLOPs of scores, softmax and weighted values for the attended tokens, summed over layers."""
    return (4.0 * shape.heads * shape.head_dim + 3.0 * shape.heads) * attended


def _attended(shape: ModelShape, n: FloatArray) -> FloatArray:
    """Number of tokens attended to by positions 1 to n, including themselves, summed over layers."""
    everything = n * (n + 1) / 2
    within = np.minimum(n, shape.sliding_window)
    windowed = within * (within + 1) / 2 + (n - within) * shape.sliding_window
    total: FloatArray = (shape.layers - shape.n_sliding_layers) * everything + shape.n_sliding_layers * windowed
    return total


def _published_reading(shape: ModelShape, n: FloatArray) -> FloatArray:
    """FLOPs of n tokens through embedding and layers, without logits."""
    d, h, layers = float(shape.width), float(shape.heads), float(shape.layers)
    attention = (8 * n * d**2 + 4 * n**2 * d + 3 * n**2 * h) * layers
    feed_forward = 4 * n * d * shape.active_feed_forward * layers
    return n * _logits_flops(shape) + attention + feed_forward


def _published_fixed(shape: ModelShape) -> float:
    """FLOPs of one generated token that are independent of its context."""
    d = float(shape.width)
    return 2 * _logits_flops(shape) + (8 * d**2 + 4 * d * shape.active_feed_forward) * shape.layers


def _published_per_context(shape: ModelShape) -> float:
    return (4.0 * shape.width + 3.0 * shape.heads) * shape.layers
