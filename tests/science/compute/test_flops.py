"""FLOPs by both formulas: known values, and sums computed token by token."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.science.compute.flops import (
    decode_flops,
    prefill_flops,
    published_prefill_flops,
    published_token_flops,
    published_trace_flops,
    published_training_step_flops,
    samples_flops,
    trace_flops,
)
from advcluster_dagster.science.compute.model_shapes import ModelShape, known_shape

SMALL = ModelShape(vocabulary=10, width=4, feed_forward=8, heads=2, layers=1)
NANO = ModelShape(vocabulary=100, width=128, feed_forward=384, heads=4, layers=4)
#: Three layers, two with a window of three tokens; shared keys and values, heads wider than d / h, four experts.
ODD = ModelShape(7, 6, 5, 4, 3, kv_heads=2, head_dim=3, n_experts=4, experts_per_token=2, sliding_window=3,
                 n_sliding_layers=2)  # fmt: skip


def test_the_published_formula_by_hand():
    # Reading 3 tokens: 2*3*4*10 = 240; 8*3*16 + 4*9*4 + 3*9*2 = 582; 4*3*4*8 = 384; 2*4*10 = 80: 1,286.
    assert published_prefill_flops(SMALL, 3) == 1286
    # A token at context 3: 80 + (8*16 + 4*3*4 + 3*3*2 = 194) + 4*4*8 = 128 + 80 = 482.
    assert published_token_flops(SMALL, 3) == 482
    # Contexts 4 and 5 add 4*4 + 3*2 = 22 each time: 1,286 + 504 + 526.
    assert published_trace_flops(SMALL, 3, 2) == 2316
    # Training: logits of three tokens, 240 + 582 + 384 + 240 = 1,446, three times.
    assert published_training_step_flops(SMALL, 3) == 4338


def test_the_published_formula_for_a_nano_model():
    assert published_prefill_flops(NANO, 50) == 72_081_600
    assert published_token_flops(NANO, 50) == 1_466_720
    assert published_trace_flops(NANO, 50, 100) == 229_338_400


@pytest.mark.parametrize(
    ("name", "published", "own"),
    [
        ("Qwen3-8B", 2.937791e13, 3.0216e13),
        ("Qwen3-32B", 1.019296e14, 1.3060e14),
        ("gpt-oss-20b", None, 1.4068e13),
        ("gpt-oss-120b", None, 2.0561e13),
    ],
)
def test_known_models_at_a_thousand_tokens(name, published, own):
    shape = known_shape(name)
    everything = replace(shape, sliding_window=0, n_sliding_layers=0)
    assert trace_flops(everything, 1000, 1000) == pytest.approx(own, rel=5e-5)
    if published is not None:
        assert published_trace_flops(shape, 1000, 1000) == pytest.approx(published, rel=1e-6)


def test_sliding_windows_of_gpt_oss_save_flops():
    shape = known_shape("gpt-oss-20b")
    everything = replace(shape, sliding_window=0, n_sliding_layers=0)
    # A full layer attends to 2,000 * 2,001 / 2 positions, a window of 128 to 128 * 129 / 2 + 1,872 * 128.
    unseen = 2_001_000 - (8_256 + 239_616)
    saved = trace_flops(everything, 1000, 1000) - trace_flops(shape, 1000, 1000)
    assert saved == pytest.approx(12 * unseen * (4 * 64 * 64 + 3 * 64))


@pytest.mark.parametrize("shape", [SMALL, NANO, ODD])
@pytest.mark.parametrize(("prompt", "generated"), [(0, 0), (0, 4), (1, 0), (2, 5), (9, 1)])
def test_the_layer_formula_token_by_token(shape, prompt, generated):
    e, d, h = shape.head_dim, shape.width, shape.heads
    weights = d * h * e + 2 * d * shape.kv_heads * e + h * e * d + d * shape.n_experts
    weights += 3 * d * shape.feed_forward * max(shape.experts_per_token, 1)

    def token(context, with_logits):
        flops = 2 * d * shape.vocabulary if with_logits else 0
        for layer in range(shape.layers):
            seen = min(context, shape.sliding_window) if layer < shape.n_sliding_layers else context
            flops += 2 * weights + (4 * h * e + 3 * h) * seen
        return flops

    reading = sum(token(i, False) for i in range(1, prompt + 1)) + 2 * d * shape.vocabulary
    writing = sum(token(prompt + i, True) for i in range(1, generated + 1))
    assert prefill_flops(shape, prompt) == reading
    assert decode_flops(shape, prompt, generated) == writing


@given(st.integers(0, 3000), st.integers(0, 200), st.integers(0, 200))
def test_generating_in_two_steps_costs_as_much_as_in_one(prompt, first, second):
    whole = decode_flops(ODD, prompt, first + second)
    assert whole == decode_flops(ODD, prompt, first) + decode_flops(ODD, prompt + first, second)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=4), st.integers(0, 500))
def test_samples_share_the_prefill_of_their_prompt(generated, prompt):
    alone = trace_flops(ODD, prompt, np.array(generated)).sum()
    saved = (len(generated) - 1) * prefill_flops(ODD, prompt)
    assert samples_flops(ODD, np.array([prompt]), np.array([generated]))[0] == alone - saved


def test_unknown_lengths_give_nan_and_negative_lengths_are_an_error():
    given_lengths = np.array([np.nan, 3.0])
    for account in (trace_flops, published_trace_flops):
        assert np.isnan(account(ODD, given_lengths, np.array([2.0, np.nan]))).all()
        assert account(ODD, np.array([]), np.array([])).shape == (0,)
        with pytest.raises(ValueError, match="negative"):
            account(ODD, 3, -1)
