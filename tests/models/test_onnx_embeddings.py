"""The local embedder with a stand-in session; tests/integration/test_local_embedder.py runs a real model."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from advcluster_dagster.models.onnx_embeddings import OnnxEmbedder, onnx_model_name
from advcluster_dagster.models.protocol import CallFailure, EmbeddingReply, EmbeddingRequest, FatalModelError
from advcluster_dagster.pipeline.providers import model_content, model_name_in_calls, open_embedding_provider
from advcluster_dagster.study.models import Model
from advcluster_dagster.study.study import Study

WORDS = {"[UNK]": 0, "three": 1, "four": 2, "zero": 3}
#: Vector of each token by its number.
VECTORS = np.array([[1, 0], [3, 0], [0, 4], [0, 0]], dtype=np.float32)


class Session:
    """As onnxruntime's: token vectors of the ids, or their sum where the model pools by itself."""

    pools = False

    def __init__(self, path: str, providers: list[str]) -> None:
        if Path(path).read_bytes() == b"broken":
            raise RuntimeError("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF")
        assert providers == ["CPUExecutionProvider"]

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="input_ids"), SimpleNamespace(name="attention_mask")]

    def run(self, _outputs: None, inputs: dict[str, Any]) -> list[Any]:
        assert inputs.keys() == {"input_ids", "attention_mask"}
        assert inputs["input_ids"].shape[0] == 1  # one text a run
        vectors = VECTORS[inputs["input_ids"]]
        return [vectors.sum(axis=1) if self.pools else vectors]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = ModuleType("onnxruntime")
    vars(module)["InferenceSession"] = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    root = tmp_path / "mini"
    root.mkdir()
    tokenizer = Tokenizer(WordLevel(WORDS, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.save(str(root / "tokenizer.json"))
    (root / "model.onnx").write_bytes(b"model")
    return root


def pooling(root: Path, **modes: Any) -> None:
    (root / "1_Pooling").mkdir(exist_ok=True)
    settings = {"word_embedding_dimension": 2, "include_prompt": True, **modes}
    (root / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")


def embed(root: Path, *texts: str) -> list[EmbeddingReply | CallFailure]:
    name = onnx_model_name(str(root))
    return [outcome for _, outcome in OnnxEmbedder(str(root)).embed([EmbeddingRequest(name, text) for text in texts])]


def test_token_vectors_are_averaged_and_scaled(folder: Path) -> None:
    both, one = embed(folder, "three four", "four")
    # The mean of (3, 0) and (0, 4) is (1.5, 2), of length 2.5.
    assert isinstance(both, EmbeddingReply)
    assert both.vector.tolist() == pytest.approx([0.6, 0.8])
    assert (both.vector.dtype, both.prompt_tokens) == (np.float32, 2)
    assert isinstance(one, EmbeddingReply)
    assert one.vector.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("mode", "vector"), [("cls_token", [1.0, 0.0]), ("max_tokens", [0.6, 0.8]), ("mean_tokens", [0.6, 0.8])]
)
def test_pooling_is_that_of_the_folder(folder: Path, mode: str, vector: list[float]) -> None:
    pooling(folder, **{f"pooling_mode_{mode}": True, "pooling_mode_lasttoken": False})
    (reply,) = embed(folder, "three four")
    assert isinstance(reply, EmbeddingReply)
    assert reply.vector.tolist() == pytest.approx(vector)


def test_a_model_that_pools_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "pools", True)
    (reply,) = embed(folder, "three four")
    assert isinstance(reply, EmbeddingReply)
    assert reply.vector.tolist() == pytest.approx([0.6, 0.8])


def test_blank_and_long_texts_and_texts_without_direction(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 2}', encoding="utf-8")
    blank, long, zero = embed(folder, " \n", "three three four four", "zero")
    assert blank == CallFailure("empty_text", "there is nothing to embed in the text")
    assert isinstance(long, EmbeddingReply)
    assert (long.vector.tolist(), long.prompt_tokens) == ([1.0, 0.0], 2)
    assert isinstance(zero, EmbeddingReply)
    assert zero.vector.tolist() == [0.0, 0.0]


def test_the_name_in_calls_follows_the_content_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    name = onnx_model_name(str(folder))
    assert name.startswith("mini@")
    shutil.copytree(folder, tmp_path / "elsewhere" / "mini")
    assert onnx_model_name(str(tmp_path / "elsewhere" / "mini")) == name
    (folder / "model.onnx").write_bytes(b"other")
    assert onnx_model_name(str(folder)) != name
    model = Model(model=str(folder), provider="onnx")
    assert model_name_in_calls(model) == model_content(model) == onnx_model_name(str(folder))
    assert model_content(Model(model="text-embedding-3-small", provider="openai")) is None
    assert model_content(Model(model=str(tmp_path), provider="onnx")) is None


def test_a_study_opens_it(folder: Path) -> None:
    models = {role: {"model": role, "provider": "imported"} for role in ("larger", "smaller")}
    judges = {"embedder": {"model": str(folder), "provider": "onnx"}}
    study = Study.model_validate({"study": "s", "families": {"f": models}, "domains": {"d": ["b"]}, "judges": judges})
    provider = open_embedding_provider("onnx", study)
    request = EmbeddingRequest(onnx_model_name(str(folder)), "four", 2)
    ((index, reply),) = provider.embed([request])
    assert isinstance(reply, EmbeddingReply)
    assert (index, reply.vector.tolist()) == (0, [0.0, 1.0])
    provider.close()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda root: (root / "model.onnx").unlink(), "has no model.onnx or onnx/model.onnx"),
        (lambda root: (root / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda root: (root / "model.onnx").write_bytes(b"broken"), "cannot load .*INVALID_PROTOBUF"),
        (lambda root: (root / "tokenizer.json").write_text("{}"), "cannot load "),
        (lambda root: pooling(root, pooling_mode_lasttoken=True), "pooling pooling_mode_lasttoken; supported: "),
        (lambda root: pooling(root), "pooling none; supported: "),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_line(folder: Path, change: Any, line: str) -> None:
    change(folder)
    with pytest.raises(FatalModelError, match=line) as caught:
        embed(folder, "four")
    assert "\n" not in str(caught.value)


def test_other_models_dimensions_and_a_missing_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder, name = OnnxEmbedder(str(folder)), onnx_model_name(str(folder))
    with pytest.raises(FatalModelError, match=f"has loaded {name}, not other"):
        list(embedder.embed([EmbeddingRequest("other", "four")]))
    with pytest.raises(FatalModelError, match="gives 2 dimensions, not 3"):
        list(embedder.embed([EmbeddingRequest(name, "four", 3)]))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FatalModelError, match=r"provider onnx needs the extra local \(pip install "):
        OnnxEmbedder(str(folder))
