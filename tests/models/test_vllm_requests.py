import pytest
from hypothesis import given
from hypothesis import strategies as st

from advcluster_dagster.models.protocol import ChatRequest, FatalModelError
from advcluster_dagster.models.vllm_requests import group_samples, split_channels, split_sampling
from advcluster_dagster.science.prompting import Message


def asked(text: str, trial: int, **sampling: object) -> ChatRequest:
    return ChatRequest("tiny", (Message("user", text),), sampling, trial)


def test_all_trials_of_a_prompt_are_one_request():
    requests = [asked(text, trial) for text in ("a", "b") for trial in range(3)]
    groups = list(group_samples(requests, 0))
    assert [samples.indices for samples in groups] == [(0, 1, 2), (3, 4, 5)]
    assert [samples.messages[0].content for samples in groups] == ["a", "b"]


def test_nothing_asked_is_nothing_grouped():
    assert list(group_samples([], 0)) == []


def test_a_gap_in_the_trials_splits_them():
    requests = [asked("a", trial) for trial in (4, 0, 1, 5)]
    first, second = group_samples(requests, 0)
    assert (first.indices, second.indices) == ((1, 2), (0, 3))
    assert second.seed == first.seed + 4  # trial 4 against trial 0


def test_prompts_and_studies_have_seeds_of_their_own():
    seeds = {next(group_samples([asked(text, 0)], seed)).seed for text in ("a", "b") for seed in (0, 1)}
    assert len(seeds) == 4
    assert next(group_samples([asked("a", 0, seed=7)], 0)).seed != next(group_samples([asked("a", 0)], 0)).seed


def test_greedy_trials_go_one_by_one():
    requests = [asked("a", trial, temperature=0) for trial in range(2)]
    assert [samples.indices for samples in group_samples(requests, 0)] == [(0,), (1,)]


@given(trials=st.lists(st.integers(0, 30), unique=True, max_size=12), n_before=st.integers(0, 12))
def test_a_trial_has_its_seed_whatever_it_is_sampled_with(trials, n_before):
    """Raising T to T' gives the seeds of T' from the start, so only the additional trials are sampled."""

    def seeds(chosen: list[int]) -> dict[int, int]:
        requests = [asked("a", trial) for trial in chosen]
        return {
            requests[index].trial: samples.seed + place
            for samples in group_samples(requests, 3)
            for place, index in enumerate(samples.indices)
        }

    assert seeds(trials) == seeds(trials[:n_before]) | seeds(trials[n_before:])
    assert len(set(seeds(trials).values())) == len(trials)


def test_settings_go_to_the_sampler_or_the_template():
    given_settings = {"top_p": 0.9, "reasoning_effort": "high", "chat_template_kwargs": {"x": 1}, "revision": "abc"}
    assert split_sampling(given_settings) == ({"top_p": 0.9}, {"reasoning_effort": "high", "x": 1})
    assert split_sampling({}) == ({}, {})


def test_a_setting_nobody_takes_is_named():
    with pytest.raises(
        FatalModelError, match=r"does not support sampling setting 'temprature'; allowed: .*temperature"
    ):
        split_sampling({"temprature": 1})


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("plain <think>x</think> 4", "plain <think>x</think> 4", None),
        ("", "", None),
        (
            "<|channel|>analysis<|message|>2+2 is 4<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
            "4",
            "2+2 is 4",
        ),
        ("<|channel|>analysis<|message|>2+2 is", "", "2+2 is"),  # truncated: no final channel
        ("<|channel|>final<|message|>a < b", "a < b", None),
        (
            "<|channel|>analysis<|message|>a<|end|><|channel|>commentary to=x<|message|>b<|end|>"
            "<|channel|>final<|message|>c",
            "c",
            "a\nb",
        ),
    ],
)
def test_channels_become_answer_and_reasoning(text, answer, reasoning):
    assert split_channels(text) == (answer, reasoning)
