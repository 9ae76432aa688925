"""Simulated families through the chat protocol."""

import pytest

from advcluster_dagster.demo.simulated_family import SimulatedFamily
from advcluster_dagster.demo.simulation.questions import simulated_questions
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError
from advcluster_dagster.science.prompting import Message


def request(prompt: str, model: str = "orion-small", trial: int = 0) -> ChatRequest:
    return ChatRequest(model, (Message("system", "Answer."), Message("user", prompt)), trial=trial)


def test_answers_every_question_of_the_study() -> None:
    provider = SimulatedFamily(seed=5)
    prompts = simulated_questions("worked-chemistry", "chemistry", 5)["prompt"].to_list()
    outcomes = list(provider.complete([request(prompt) for prompt in prompts]))
    provider.close()
    assert [index for index, _ in outcomes] == list(range(24))
    for prompt, (_, reply) in zip(prompts, outcomes, strict=True):
        assert isinstance(reply, ChatReply)
        assert reply.served_model == "orion-small (simulated)"
        assert reply.completion_tokens == -(-len(reply.text) // 4)
        assert reply.prompt_tokens == 2 + -(-len(prompt) // 4)  # "Answer." has 7 characters: 2 tokens


def test_the_trial_decides_the_run() -> None:
    provider = SimulatedFamily(seed=0)
    prompt = simulated_questions("worked-math", "math", 0)["prompt"][0]
    replies = [reply for _, reply in provider.complete([request(prompt, trial=trial) for trial in (0, 1, 0)])]
    assert replies[0] == replies[2]
    assert replies[0] != replies[1]


def test_other_benchmark_names() -> None:
    provider = SimulatedFamily(seed=0, benchmarks={"physics": ["a", "b"]})
    for name in ("a", "b"):
        prompt = simulated_questions(name, "physics", 0)["prompt"][0]
        assert isinstance(next(iter(provider.complete([request(prompt)])))[1], ChatReply)


def test_unknown_prompt_is_a_failure() -> None:
    provider = SimulatedFamily(seed=0)
    other = simulated_questions("worked-math", "math", 1)["prompt"][0]
    outcomes = dict(provider.complete([request(other), ChatRequest("lyra-large", ())]))
    assert all(isinstance(outcome, CallFailure) for outcome in outcomes.values())
    assert outcomes[0].reason == "unknown_prompt"


def test_unknown_model_stops_the_step() -> None:
    with pytest.raises(FatalModelError, match="no simulated model 'vega'; available: orion-large"):
        list(SimulatedFamily(seed=0).complete([request("?", model="vega")]))
