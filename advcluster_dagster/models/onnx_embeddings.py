"""Sentence embeddings on this machine's CPU, from any folder with a transformer in ONNX format (extra ``local``).

The folder has the layout of the sentence-transformers library: ``model.onnx`` or ``onnx/model.onnx``, and
``tokenizer.json``; ``1_Pooling/config.json`` and ``sentence_bert_config.json`` are used if present.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advcluster_dagster.extras import install_command
from advcluster_dagster.models.protocol import CallFailure, EmbeddingReply, EmbeddingRequest, FatalModelError

_MODEL_FILES = ("model.onnx", "onnx/model.onnx")
_POOLING_FILE, _LENGTH_FILE = "1_Pooling/config.json", "sentence_bert_config.json"
_DEFAULT_MAX_TOKENS = 512
FloatArray = npt.NDArray[np.float32]


class OnnxEmbedder:
    """An :class:`~advcluster_dagster.models.protocol.EmbeddingProvider` around one folder.

    Token vectors are pooled as the folder's configuration says, by their mean without one, and scaled to unit length.
    Each text is a run of its own: in quantised models a vector would depend on the texts beside it.
    """

    def __init__(self, folder: str) -> None:
        """Load tokenizer and model.

        Raises:
            FatalModelError: onnxruntime or tokenizers is not installed, or the folder is incomplete or unreadable.
        """
        self._name = onnx_model_name(folder)
        root = Path(folder).expanduser()
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError:
            raise FatalModelError(f"provider onnx needs the extra local ({install_command('local')})") from None
        try:
            self._pool = _pooling(root)
            self._tokenizer = Tokenizer.from_file(str(root / "tokenizer.json"))
            self._tokenizer.enable_truncation(_max_tokens(root))
            self._tokenizer.no_padding()
            self._session = onnxruntime.InferenceSession(str(_model_file(root)), providers=["CPUExecutionProvider"])
        except FatalModelError:
            raise
        except Exception as error:  # neither library has an error type for files that it cannot read
            line = " ".join(str(error).split())[:300]
            raise FatalModelError(f"provider onnx cannot load {root}: {line}") from error
        self._inputs = {each.name for each in self._session.get_inputs()}

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Iterator[tuple[int, EmbeddingReply | CallFailure]]:
        """Yield (index, outcome) text by text; long texts are truncated, blank texts are failures.

        Raises:
            FatalModelError: a request names another model or another number of dimensions.
        """
        for index, request in enumerate(requests):
            if request.model != self._name:
                raise FatalModelError(f"provider onnx has loaded {self._name}, not {request.model}")
            if not request.text.strip():
                yield index, CallFailure("empty_text", "there is nothing to embed in the text")
                continue
            vector, n_tokens = self._vector(request.text)
            if request.dimensions not in (None, len(vector)):
                raise FatalModelError(f"{self._name} gives {len(vector)} dimensions, not {request.dimensions}")
            yield index, EmbeddingReply(vector, n_tokens)

    def close(self) -> None:
        """Do nothing; the model is released with this object."""

    def _vector(self, text: str) -> tuple[FloatArray, int]:
        tokens = self._tokenizer.encode(text)
        arrays = {
            "input_ids": np.array([tokens.ids], dtype=np.int64),
            "attention_mask": np.array([tokens.attention_mask], dtype=np.int64),
            "token_type_ids": np.array([tokens.type_ids], dtype=np.int64),
        }
        output = np.asarray(self._session.run(None, {name: arrays[name] for name in self._inputs})[0], dtype=np.float32)
        vector: FloatArray = output[0] if output.ndim == 2 else self._pool(output[0])
        length = float(np.linalg.norm(vector))
        return (vector / length if length > 0 else vector).astype(np.float32), len(tokens.ids)


def onnx_model_name(folder: str) -> str:
    """Name of a folder's model in calls: the folder's name and a hash of its content, so that a copy keeps its calls.

    Raises:
        FatalModelError: the folder has no model or no tokenizer.
    """
    root = Path(folder).expanduser()
    files = [_model_file(root), root / "tokenizer.json", root / _POOLING_FILE, root / _LENGTH_FILE]
    if not files[1].is_file():
        raise FatalModelError(f"provider onnx: {root} has no tokenizer.json")
    digests = [_digest(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.is_file()]
    return f"{root.name}@{hashlib.sha256(''.join(digests).encode()).hexdigest()[:12]}"


def _model_file(root: Path) -> Path:
    for name in _MODEL_FILES:
        if (root / name).is_file():
            return root / name
    raise FatalModelError(f"provider onnx: {root} has no {' or '.join(_MODEL_FILES)}; name the folder of the model")


@lru_cache(maxsize=16)
def _digest(path: str, _modified_ns: int, _size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pooling(root: Path) -> Any:
    """The function that makes one vector of token vectors, from shape (tokens, d) to shape (d,)."""
    path = root / _POOLING_FILE
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"pooling_mode_mean_tokens": True}
    chosen = [name for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    functions = {
        "pooling_mode_mean_tokens": lambda vectors: vectors.mean(axis=0),
        "pooling_mode_cls_token": lambda vectors: vectors[0],
        "pooling_mode_max_tokens": lambda vectors: vectors.max(axis=0),
    }
    if len(chosen) != 1 or chosen[0] not in functions:
        raise FatalModelError(
            f"{path}: pooling {', '.join(chosen) or 'none'}; supported: one of {', '.join(functions)}"
        )
    return functions[chosen[0]]


def _max_tokens(root: Path) -> int:
    path = root / _LENGTH_FILE
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return int(settings.get("max_seq_length") or _DEFAULT_MAX_TOKENS)
