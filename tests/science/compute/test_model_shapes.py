"""Model shapes: built-in shapes against published sizes, and various configurations."""

import pytest

from advcluster_dagster.science.compute.model_shapes import ModelShape, ShapeError, known_shape, shape_from_config

LLAMA = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
}


@pytest.mark.parametrize(
    ("name", "active", "without_output"),
    [
        ("Qwen3-8B", 7.568e9, 6.946e9),
        ("Qwen3-32B", 3.198e10, 3.121e10),
        ("gpt-oss-20b", 3.607e9, 3.028e9),
        ("gpt-oss-120b", 5.131e9, 4.552e9),
    ],
)
def test_known_models_have_their_published_sizes(name, active, without_output):
    shape = known_shape(name)
    assert shape.active_parameters == pytest.approx(active, rel=2e-4)
    assert shape.layer_parameters * shape.layers == pytest.approx(without_output, rel=2e-4)


def test_names_are_matched_without_organisation_and_case():
    assert known_shape("openai/GPT-OSS-20b") == known_shape("gpt-oss-20b") is not None
    assert known_shape("Qwen/Qwen3-8B-Base") is None
    assert known_shape("") is None


def test_a_llama():
    shape = shape_from_config(LLAMA)
    assert shape == ModelShape(128256, 4096, 14336, 32, 32, 8, 128)
    # 4,096 * 128 * 2 * 40 + 3 * 4,096 * 14,336 = 218,103,808 a layer.
    assert shape.layer_parameters == 218_103_808


def test_missing_fields_have_defaults():
    plain = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}
    shape = shape_from_config({**plain, "model_type": "nemotron"})
    assert (shape.kv_heads, shape.head_dim, shape.feed_forward_matrices) == (32, 128, 2)


@pytest.mark.parametrize("field", ["vocab_size", "hidden_size", "intermediate_size", "num_attention_heads"])
def test_a_missing_field_is_an_error_that_names_it(field):
    with pytest.raises(ShapeError, match=f"{field} is missing"):
        shape_from_config({name: value for name, value in LLAMA.items() if name != field})
    with pytest.raises(ShapeError, match=f"{field} is '8'"):
        shape_from_config({**LLAMA, field: "8"})


def test_experts_have_their_own_width_if_given():
    qwen = {**LLAMA, "model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8,
            "moe_intermediate_size": 768, "decoder_sparse_step": 1, "mlp_only_layers": []}  # fmt: skip
    shape = shape_from_config(qwen)
    assert (shape.feed_forward, shape.n_experts, shape.experts_per_token) == (768, 128, 8)
    assert shape.active_feed_forward == 8 * 768
    mixtral = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    assert shape_from_config(mixtral).active_feed_forward == 2 * 14336
    with pytest.raises(ShapeError, match="num_experts_per_tok or experts_per_token is missing"):
        shape_from_config({**LLAMA, "num_local_experts": 8})


@pytest.mark.parametrize(
    ("fields", "window", "n_sliding"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 4096, 32),
        ({"model_type": "mistral", "sliding_window": None}, 0, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, 0, 0),
        (
            {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 28},
            4096,
            4,
        ),
        ({"model_type": "gemma2", "sliding_window": 4096}, 4096, 16),
        ({"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 6}, 512, 27),
        (
            {"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16},
            128,
            16,
        ),
        ({"sliding_window": 128, "layer_types": ["full_attention"] * 32}, 0, 0),
    ],
)
def test_windows(fields, window, n_sliding):
    shape = shape_from_config({**LLAMA, **fields})
    assert (shape.sliding_window, shape.n_sliding_layers) == (window, n_sliding)


def test_the_text_part_of_a_multimodal_model():
    assert shape_from_config({"model_type": "gemma3", "text_config": LLAMA}) == shape_from_config(LLAMA)


@pytest.mark.parametrize(
    "fields", [{"kv_lora_rank": 512}, {"n_shared_experts": 1}, {"decoder_sparse_step": 2}, {"mlp_only_layers": [0]}]
)
def test_unsupported_components_are_an_error(fields):
    with pytest.raises(ShapeError, match=f"{next(iter(fields))} indicates"):
        shape_from_config({**LLAMA, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0},
        {"feed_forward_matrices": 4},
        {"n_sliding_layers": 1},
        {"sliding_window": 8, "n_sliding_layers": 3},
        {"n_experts": 4},
        {"n_experts": 2, "experts_per_token": 3},
        {"heads": True},
    ],
)
def test_invalid_shapes_are_an_error(fields):
    with pytest.raises(ShapeError):
        ModelShape(**{"vocabulary": 10, "width": 4, "feed_forward": 8, "heads": 2, "layers": 2, **fields})
