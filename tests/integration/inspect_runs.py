"""Run Inspect with its mock model and given answers, to create real logs in a second or two.

Here: making logs. Not here: any assertion. Import it where inspect-ai is installed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import Scorer, match
from inspect_ai.solver import Solver, generate, solver

USAGE = ModelUsage(input_tokens=11, output_tokens=7, total_tokens=23, input_tokens_cache_read=5)


def said(text: str, thinking: str | None = None, stop_reason: str = "stop") -> ModelOutput:
    """Output of the mock model; sets usage, to keep the mock model from downloading a tokeniser."""
    content: Any = text
    if thinking is not None:
        content = [ContentReasoning(reasoning=thinking), ContentText(text=text)]
    choice = ChatCompletionChoice(message=ChatMessageAssistant(content=content), stop_reason=stop_reason)
    return ModelOutput(model="mockllm", choices=[choice], usage=USAGE)


@solver
def failing_on(question: str, epoch: int) -> Solver:
    """Generate, except for one sample of one epoch, which fails as if the server had gone away."""

    async def solve(state: Any, generate: Any) -> Any:
        if state.input_text == question and state.epoch == epoch:
            raise RuntimeError("the server\nwent away")
        return await generate(state)

    return solve


def run(
    folder: Path,
    model: str,
    samples: Sequence[Sample],
    answers: Mapping[str, Sequence[ModelOutput]],
    epochs: int = 1,
    log_format: str = "eval",
    name: str = "sums",
    solver: Solver | None = None,
    scorer: Scorer | None = None,
) -> Path:
    """Run a model that answers each prompt with its answers in turn; return the log."""
    n_asked: dict[str, int] = {}

    def answer(messages: Any, *_: Any) -> ModelOutput:
        prompt = messages[-1].text
        key = next(key for key in answers if key in prompt)
        n_asked[key] = n_asked.get(key, 0) + 1
        return answers[key][(n_asked[key] - 1) % len(answers[key])]

    task = Task(dataset=list(samples), solver=solver or generate(), scorer=scorer or match(), name=name, epochs=epochs)
    (log,) = eval(
        task,
        model=get_model(f"mockllm/{model}", custom_outputs=answer, config=GenerateConfig(temperature=0.5, seed=7)),
        log_dir=str(folder),
        log_format=log_format,
        display="none",
        fail_on_error=False,
        max_connections=1,
        max_samples=1,
    )
    return Path(log.location)
