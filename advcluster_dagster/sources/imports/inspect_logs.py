"""Read logs of Inspect (inspect-ai), `.eval` or `.json`.

Reading is delegated to inspect-ai, an optional extra: the format is internal to that package (compression, texts
stored as attachments, fields renamed between versions). For an `.eval` log, memory holds the sample summaries and one
batch of samples; a `.json` log is read whole.
"""

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advcluster_dagster.errors import AdvClusterError
from advcluster_dagster.extras import install_command
from advcluster_dagster.printable import one_line
from advcluster_dagster.sources.imports.errors import ImportFileError
from advcluster_dagster.sources.imports.json_lines import Progress
from advcluster_dagster.sources.imports.logged_trials import LoggedTrial, LogHeader
from advcluster_dagster.sources.imports.source_files import ZIP, file_size, kind_fault
from advcluster_dagster.sources.imports.verdicts import Scorer

#: Key in a sample's metadata for values that Inspect has no field for; written by `export inspect`.
METADATA_KEY = "advcluster"

_JSON_LOG = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"version":\s*\d+,\s*"status":\s*"')
# Compressed bytes of the file; samples are several times larger in memory.
_BATCH_BYTES = 4 * 2**20
_MOST_SAMPLES_IN_BATCH = 500
_UNREAD_FIELDS = {"events", "store", "timelines"}
_SAMPLING = (
    "temperature", "top_p", "top_k", "max_tokens", "seed", "stop_seqs", "frequency_penalty", "presence_penalty",
    "reasoning_effort", "reasoning_tokens",
)  # fmt: skip
_AT_TOKEN_LIMIT = ("max_tokens", "model_length")
# 2026-11-21T12-16-46-00-00_TASK_ID.eval, or .json.
_FILE_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:[+-]\d\d-\d\d)?_(?P<task>.+)_[^_]+\.(?:eval|json)")


class MissingInspectError(AdvClusterError, ImportError):
    """The package inspect-ai is not installed; the message is one line."""


def inspect_module(name: str) -> Any:
    """Import a module of inspect-ai by its name within the package.

    Raises:
        MissingInspectError: inspect-ai is not installed.
    """
    try:
        return importlib.import_module(f"inspect_ai.{name}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("inspect_ai"):
            raise
        raise MissingInspectError(
            "Inspect logs need the package inspect-ai, which is not installed; "
            f"install it with: {install_command('inspect')}"
        ) from None


def is_inspect_log(path: Path) -> bool:
    """Whether a file is an Inspect log, by its suffix or, for JSON, by its first bytes."""
    if path.suffix != ".json" or not path.is_file():
        return path.suffix == ".eval"
    with path.open("rb") as file:
        return _JSON_LOG.match(file.read(200)) is not None


def is_inspect_name(path: Path) -> bool:
    """Whether a file is named like an Inspect log."""
    return path.suffix == ".eval" or _FILE_NAME.fullmatch(path.name) is not None


def inspect_task(path: Path) -> str | None:
    """The task in a log's file name; None if the name does not contain it."""
    named = _FILE_NAME.fullmatch(path.name)
    return named["task"] if named else None


class InspectLog:
    """An Inspect log; see :class:`~.logged_trials.EvaluationLog`."""

    def __init__(self, path: Path) -> None:
        """Read the log's header.

        Raises:
            ImportFileError: the log cannot be read.
            MissingInspectError: inspect-ai is not installed.
        """
        _check_kind(path)
        self._path = path
        self._log = self._read("read_eval_log", header_only=True)
        self._scorer: Scorer | None = None
        spec = self._log.eval
        status = self._log.status
        self.header = LogHeader(
            path,
            spec.task,
            # Inspect writes PROVIDER/MODEL, where MODEL may have slashes of its own.
            tuple(dict.fromkeys((spec.model, spec.model.partition("/")[2] or spec.model))),
            run=f"{spec.task_id} {spec.model}" if spec.task_id else str(path),
            order=f"{spec.created} {path}",
            status=None if status == "success" else status,
        )

    @property
    def facts(self) -> list[str]:
        """The scorer whose verdicts were taken."""
        scorer = self._scorer
        return [f"recorded verdicts are those of scorer {scorer.name}"] if scorer and scorer.n_taken else []

    @property
    def warnings(self) -> list[str]:
        """A warning if the scorer's values are not verdicts."""
        return [self._scorer.warning] if self._scorer and self._scorer.warning else []

    def trials(self, benchmark: str, on_progress: Progress | None = None) -> Iterator[LoggedTrial]:
        """Yield one trial per sample and epoch; a sample that ended with an error has no response."""
        for sample in self._samples(on_progress):
            where = f"{self._path}, sample {sample.id!r}, epoch {sample.epoch}"
            # Integer ids are positions in the data set and not unique across benchmarks.
            numbered = (f"{benchmark}-{sample.id}",) if isinstance(sample.id, int) else ()
            question = {**self._question(sample, where), "source": f"Inspect, {self._log.eval.task}"}
            yield LoggedTrial(where, (str(sample.id), *numbered), question, sample.epoch - 1, self._trace(sample))

    def _samples(self, on_progress: Progress | None) -> Iterator[Any]:
        if self._path.suffix == ".json":
            samples = self._read("read_eval_log", resolve_attachments="core").samples or []
            self._scorer = _first_scorer(samples)
            yield from samples
            return
        size = file_size(self._path)
        summaries = self._read("read_eval_log_sample_summaries")
        self._scorer = _first_scorer(summaries)
        keys = [(sample_summary.id, sample_summary.epoch) for sample_summary in summaries]
        del summaries
        in_batch = min(_MOST_SAMPLES_IN_BATCH, _BATCH_BYTES * len(keys) // size + 1)
        for start in range(0, len(keys), in_batch):
            yield from self._read(
                "read_eval_log_samples_by_id",
                samples=keys[start : start + in_batch],
                resolve_attachments="core",
                exclude_fields=_UNREAD_FIELDS,
            )
            if on_progress:
                on_progress(size * min(start + in_batch, len(keys)) // len(keys), size)

    def _read(self, function: str, **options: Any) -> Any:
        """Call a reading function of inspect-ai on the log."""
        read = getattr(inspect_module("log"), function)
        try:
            return read(str(self._path), **options)
        except Exception as error:  # a broken file raises any error of zip, JSON or pydantic
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ImportFileError(f"{self._path}: not a readable Inspect log: {reason}") from None

    def _question(self, sample: Any, where: str) -> dict[str, Any]:
        own = sample.metadata.get(METADATA_KEY)
        own = own if isinstance(own, dict) else {}
        asked = sample.input if isinstance(sample.input, str) else _joined(sample.input)
        before = [message.role for message in sample.messages].index("assistant") if _is_answered(sample) else 0
        targets = [sample.target] if isinstance(sample.target, str) else sample.target
        if len(targets) != 1 and not sample.choices:
            raise ImportFileError(f"{where}, field 'target': {len(targets)} texts; allowed: one, or letters of choices")
        context = {"options": sample.choices} if sample.choices else None
        kind = ("choice" if len(targets) == 1 else "choices") if sample.choices else None
        return {
            "question": own.get("question") or asked,
            "prompt": _joined(sample.messages[:before]) or asked,
            "answer": "".join(targets),
            "answer_type": own.get("answer_type") or kind,
            "answer_context": own.get("answer_context") or context,
        }

    def _trace(self, sample: Any) -> dict[str, Any]:
        usage = sample.output.usage
        cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0) if usage else 0
        return {
            **_ending(sample),
            "prompt_tokens": usage.input_tokens + cached if usage else None,
            "completion_tokens": usage.output_tokens if usage else None,
            "engine": self._log.eval.model,
            "sampling": self._sampling,
            "recorded_correct": self._verdict(sample.scores),
        }

    def _verdict(self, scores: Mapping[str, Any] | None) -> bool | None:
        score = (scores or {}).get(self._scorer.name) if self._scorer else None
        return self._scorer.verdict(score.value) if self._scorer and score is not None else None

    @property
    def _sampling(self) -> dict[str, Any]:
        set_here = [self._log.eval.model_generate_config, self._log.plan.config]
        settings: dict[str, Any] = {}
        for config in set_here:
            settings |= config.model_dump(include=set(_SAMPLING), exclude_none=True)
        return settings


def _is_answered(sample: Any) -> bool:
    return any(message.role == "assistant" for message in sample.messages)


def _joined(messages: list[Any]) -> str:
    return "\n\n".join(message.text for message in messages)


def _ending(sample: Any) -> dict[str, str | None]:
    """Response and finish_reason; response is None if the sample failed."""
    if sample.error is not None:
        return {"response": None, "finish_reason": _failed(sample.error.message)}
    if sample.invalidation is not None:
        return {"response": None, "finish_reason": "failed: invalidated"}
    if not sample.output.choices:
        return {"response": None, "finish_reason": _failed(sample.output.error or "no output")}
    output = sample.output
    parts = [] if isinstance(output.message.content, str) else output.message.content
    thoughts = [_thought(part) for part in parts if part.type == "reasoning"]
    # Same form as our providers write for models that return their thinking separately.
    thinking = "<think>" + "\n".join(thoughts) + "</think>\n" if thoughts else ""
    reason = "length" if output.stop_reason in _AT_TOKEN_LIMIT else output.stop_reason
    if sample.limit is not None:
        reason = "length" if sample.limit.type == "token" else f"limit: {sample.limit.type}"
    return {"response": thinking + output.completion, "finish_reason": None if reason == "unknown" else reason}


def _thought(part: Any) -> str:
    return str((part.summary or "") if part.redacted else part.reasoning)


def _failed(message: str) -> str:
    """Format the reason of a failure as a short line."""
    line = one_line(message, 200)
    return line if line.startswith("failed: ") else f"failed: {line}"


def _first_scorer(samples: Sequence[Any]) -> Scorer | None:
    """The first scorer in the samples or summaries, with all of its values added."""
    scorer: Scorer | None = None
    for sample in samples:
        scores = sample.scores or {}
        if scorer is None and scores:
            scorer = Scorer(next(iter(scores)))
        if scorer is not None and scorer.name in scores:
            scorer.add(scores[scorer.name].value)
    return scorer


def _check_kind(path: Path) -> None:
    file_size(path)
    with path.open("rb") as file:
        head = file.read(4096)
    is_packed = path.suffix == ".eval" and head.startswith(ZIP)
    if not is_packed and (fault := kind_fault(path, head)):
        raise ImportFileError(f"{path}: not an Inspect log: {fault}")
