"""GPUs of this machine and their utilisation, read through NVIDIA's management library (NVML).

Without a GPU, its driver or the package nvidia-ml-py all results are empty.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from types import ModuleType
from typing import Any

_SAMPLE_EVERY_S = 1.0
_GIB = 2**30


@dataclass
class GpuWatch:
    """Observations of the GPUs, one record per GPU; complete once the watch has ended.

    ``facts``: index, name, memory_gib; from a watch also mean_utilisation (share of time a kernel ran since
    :meth:`begin_load`, else since the watch began; [0, 1]) and max_memory_used_gib (maximum over all programs on the
    card, without the memory reserved by the driver). Empty without GPUs.
    """

    facts: list[dict[str, Any]] = field(default_factory=list)
    _load_began: threading.Event = field(default_factory=threading.Event)

    def begin_load(self) -> None:
        """Start to measure utilisation: drop the samples taken so far, of which only the memory counts."""
        self._load_began.set()


def gpu_facts() -> list[dict[str, Any]]:
    """Index, name and memory (GiB) of each GPU visible to this process."""
    with _library() as library:
        return [] if library is None else [_facts(library, handle) for handle in _visible(library)]


@contextmanager
def watch_gpus() -> Iterator[GpuWatch]:
    """Sample the visible GPUs once a second while the block runs, and at its end."""
    watch, ended = GpuWatch(), threading.Event()
    with _library() as library:
        handles = [] if library is None else _visible(library)
        if library is None or not handles:
            yield watch
            return
        #: By GPU, each look's share of busy time, memory used in GiB, and whether the load had begun.
        samples: list[list[tuple[float, float, bool]]] = [[] for _ in handles]

        def sample() -> None:
            is_load = watch._load_began.is_set()
            for handle, series in zip(handles, samples, strict=True):
                used = _memory(library, handle).used / _GIB
                series.append((library.nvmlDeviceGetUtilizationRates(handle).gpu / 100, used, is_load))

        def sample_until_end() -> None:
            while not ended.wait(_SAMPLE_EVERY_S):
                sample()

        thread = threading.Thread(target=sample_until_end, name="gpu-watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            ended.set()
            thread.join()
            sample()
            watch.facts = [
                {
                    **_facts(library, handle),
                    "mean_utilisation": round(fmean(s for s, _, is_load in series if is_load == series[-1][2]), 3),
                    "max_memory_used_gib": round(max(used for _, used, _ in series), 2),
                }
                for handle, series in zip(handles, samples, strict=True)
            ]


@contextmanager
def _library() -> Iterator[ModuleType | None]:
    """NVML, initialised; None if the package or the driver is missing."""
    try:
        import pynvml
    except ImportError:
        yield None
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _visible(library: ModuleType) -> list[Any]:
    """Handles of the GPUs visible to this process, by CUDA_VISIBLE_DEVICES if it is set."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _every(library)
    handles: list[Any] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        matches = _matches(library, name)
        if len(matches) != 1:  # as in CUDA, the first unknown or ambiguous name ends the list
            break
        handles += matches
    return handles


def _every(library: ModuleType) -> list[Any]:
    return [library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())]


def _matches(library: ModuleType, name: str) -> list[Any]:
    """Handles of the GPUs with this index, UUID (of a GPU or MIG instance) or UUID prefix."""
    try:
        if name.isdigit():
            return [library.nvmlDeviceGetHandleByIndex(int(name))]
        return [library.nvmlDeviceGetHandleByUUID(name)]
    except library.NVMLError:
        return [handle for handle in _every(library) if str(library.nvmlDeviceGetUUID(handle)).startswith(name)]


def _facts(library: ModuleType, handle: Any) -> dict[str, Any]:
    return {
        "index": library.nvmlDeviceGetIndex(handle),
        "name": str(library.nvmlDeviceGetName(handle)),
        "memory_gib": round(_memory(library, handle).total / _GIB, 1),
    }


def _memory(library: ModuleType, handle: Any) -> Any:
    """Memory of a GPU, without the driver's own reservation where the driver reports it separately."""
    try:
        return library.nvmlDeviceGetMemoryInfo(handle, version=library.nvmlMemory_v2)
    except library.NVMLError:
        return library.nvmlDeviceGetMemoryInfo(handle)
