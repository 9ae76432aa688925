"""Simulated model families as a chat provider.

Replies are deterministic given the study's seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil

from advcluster_dagster.demo.simulation.problems import Problem
from advcluster_dagster.demo.simulation.profiles import MODELS, profile_name
from advcluster_dagster.demo.simulation.questions import BUILT_IN_BENCHMARKS, problem_bank
from advcluster_dagster.demo.simulation.trials import respond
from advcluster_dagster.models.protocol import CallFailure, ChatReply, ChatRequest, FatalModelError, approximate_tokens


class SimulatedFamily:
    """Chat provider that answers the prompts of simulated questions.

    Args:
        seed: The study's seed, with which its questions were generated.
        benchmarks: Names of simulated benchmarks by domain (math, physics, chemistry, programming).
    """

    def __init__(self, seed: int, benchmarks: Mapping[str, Sequence[str]] = BUILT_IN_BENCHMARKS) -> None:
        self._seed = seed
        self._problems: dict[str, Problem] = {
            problem.prompt: problem
            for domain, names in benchmarks.items()
            for name in names
            for problem in problem_bank(name, domain, seed)
        }

    def complete(self, requests: Sequence[ChatRequest]) -> Iterator[tuple[int, ChatReply | CallFailure]]:
        """Answer each request in order; with ``enable_thinking: false`` a model makes errors on more questions.

        Token counts are estimated as a quarter of the characters, rounded up. An unknown prompt is a failure.

        Raises:
            FatalModelError: a request names a model that is not simulated.
        """
        for index, request in enumerate(requests):
            if request.model not in MODELS:
                raise FatalModelError(f"no simulated model {request.model!r}; available: {', '.join(MODELS)}")
            yield index, self._answer(request)

    def close(self) -> None:
        """Do nothing; there are no resources to release."""

    def _answer(self, request: ChatRequest) -> ChatReply | CallFailure:
        prompt = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
        problem = self._problems.get(prompt)
        if problem is None:
            return CallFailure("unknown_prompt", "the prompt is no question of this study's simulated benchmarks")
        response = respond(profile_name(request.model, request.sampling), problem, self._seed, request.trial)
        return ChatReply(
            text=response.text,
            finish_reason=response.finish_reason,
            prompt_tokens=sum(_n_tokens(message.content) for message in request.messages),
            completion_tokens=_n_tokens(response.text),
            served_model=f"{request.model} (simulated)",
        )


def _n_tokens(text: str) -> int:
    return ceil(approximate_tokens(len(text)))
