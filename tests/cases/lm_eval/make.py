"""Makes the sample files of this folder: lm-evaluation-harness runs its own tasks on models that answer by rote.

Run it as ``python tests/cases/lm_eval/make.py FOLDER`` where lm-eval is installed; the committed files are its output.
The harness's own `dummy` model is one of the three; the other two are that model with answers of ours.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TASKS = ("sums", "sums_twice", "sums_options")
MODELS = {"org/large": "scripted", "org/small": "scripted", "org/dummy": "dummy"}


def answer(prompt: str, n_earlier: int, is_larger: bool) -> str:
    """Right, but for the smaller model: it forgets to multiply, or on its second try of a question to answer."""
    sum_ = re.findall(r"[\d*·+-]*\d", prompt.replace("Question: ", ""))[-1].replace("·", "*")
    value = eval(sum_)
    if not is_larger and n_earlier:
        return f"Let me see: {sum_} is"
    if not is_larger and "+" in sum_:
        value = eval(sum_.replace("*", "+"))
    return f"{sum_} is worked out step by step.\nSo it is \\boxed{{{value}}}."


def run_here(folder: str) -> None:
    """Run the tasks with each model; the working directory is this folder."""
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.registry import register_model
    from lm_eval.models.dummy import DummyLM

    running = ""

    @register_model("scripted")
    class ScriptedLM(DummyLM):
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            asked: dict[tuple[str, str], int] = {}
            said = []
            for request in requests:
                key = (request.task_name, request.args[0])
                said.append(answer(request.args[0], asked.get(key, 0), running == "org/large"))
                asked[key] = asked.get(key, 0) + 1
            return said

    for running, kind in MODELS.items():
        sys.argv = [
            "lm_eval", "--model", kind, "--model_args", f"pretrained={running}", "--tasks", ",".join(TASKS),
            "--include_path", "tasks", "--output_path", folder, "--log_samples", "--seed", "0",
        ]  # fmt: skip
        cli_evaluate()


def make(folder: Path) -> None:
    """Run every model, in a process of its own; the files lie in FOLDER/ORG__MODEL."""
    with tempfile.TemporaryDirectory() as cache:
        # The results would name the commit of a repository around.
        environment = {"HF_HOME": cache, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "GIT_DIR": cache}
        command = [sys.executable, str(HERE / "make.py"), str(folder.resolve()), "here"]
        subprocess.run(command, cwd=HERE, env={**os.environ, **environment}, check=True, capture_output=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        make(Path(sys.argv[1]))
    else:
        run_here(sys.argv[1])
