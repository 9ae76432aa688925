"""Requests to a vLLM engine and parsing of its replies; does not import vLLM."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from advcluster_dagster.models.protocol import ChatRequest, FatalModelError, sha256_of_json
from advcluster_dagster.science.prompting import Message

#: Sampling settings of a study that are passed to vLLM's SamplingParams.
SAMPLING_NAMES = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "max_tokens", "min_tokens", "stop", "seed"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty"),
    )
)
#: Settings that are passed to the model's chat template.
TEMPLATE_NAMES = frozenset(("enable_thinking", "reasoning_effort"))
_SEEDS = 2**31
_HARMONY = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|end\|>|<\|return\|>|<\|start\|>|<\|channel\|>|\Z)", re.S
)


@dataclass(frozen=True)
class PromptSamples:
    """One prompt with several trials, as one request to the engine.

    ``indices`` are indices of chat requests, one per sample. Sample i is drawn with seed ``seed + i``, so that a
    trial has the same seed whether it is sampled with others or alone.
    """

    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    indices: tuple[int, ...]
    seed: int


def group_samples(requests: Sequence[ChatRequest], study_seed: int) -> Iterator[PromptSamples]:
    """Group requests that differ only in consecutive trial numbers, in order of their first request.

    Greedy requests (temperature 0) are not grouped: the engine draws one sample of them at a time.
    """
    by_prompt: dict[str, list[int]] = {}
    for index, request in enumerate(requests):
        by_prompt.setdefault(sha256_of_json({**request.identity, "trial": None}), []).append(index)
    for key, indices in by_prompt.items():
        first = requests[indices[0]]
        ordered = sorted(indices, key=lambda index: requests[index].trial)
        # Within a run of consecutive trials, trial and position differ by a constant.
        offsets = {index: requests[index].trial - position for position, index in enumerate(ordered)}
        start = int(sha256_of_json([study_seed, first.sampling.get("seed"), key])[:12], 16) % _SEEDS
        for _, run in groupby(ordered, key=offsets.__getitem__):
            together = list(run)
            for members in [together] if first.sampling.get("temperature") != 0 else [[index] for index in together]:
                seed = start + requests[members[0]].trial
                yield PromptSamples(first.messages, first.sampling, tuple(members), seed)


def split_sampling(sampling: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a study's sampling settings into those of the engine and those of the chat template.

    Raises:
        FatalModelError: a setting is supported by neither.
    """
    settings = {name: value for name, value in sampling.items() if name not in ("revision", "chat_template_kwargs")}
    unknown = sorted(set(settings) - SAMPLING_NAMES - TEMPLATE_NAMES)
    if unknown:
        allowed = ", ".join(sorted({*SAMPLING_NAMES, *TEMPLATE_NAMES, "chat_template_kwargs"}))
        raise FatalModelError(f"provider vllm does not support sampling setting {unknown[0]!r}; allowed: {allowed}")
    template = {name: value for name, value in settings.items() if name in TEMPLATE_NAMES}
    template |= sampling.get("chat_template_kwargs") or {}
    return {name: value for name, value in settings.items() if name in SAMPLING_NAMES}, template


def split_channels(text: str) -> tuple[str, str | None]:
    """Split text in the Harmony channel format of GPT-OSS into (answer, reasoning); other text is all answer.

    A text truncated before its final channel has an empty answer.
    """
    if "<|message|>" not in text:
        return text, None
    channels = _HARMONY.findall(text if text.startswith("<|channel|>") else f"<|channel|>{text}")
    answer = "".join(content for channel, content in channels if channel == "final")
    reasoning = "\n".join(content for channel, content in channels if channel != "final")
    return answer, reasoning or None
