"""GPUs of this machine and their load, read from NVIDIA's management library.

Without a GPU, its driver or the package nvidia-ml-py every field is left out.
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
    """What was seen of the GPUs, one record each; complete once the watch has ended.

    ``facts``: index, name, memory_gib; from a watch also mean_utilisation (share of time a kernel ran since
    :meth:`begin_load`, else since the watch began; [0, 1]) and max_memory_used_gib, what all programs held on the
    card at most, without what the driver keeps for itself. Empty without GPUs.
    """

    facts: list[dict[str, Any]] = field(default_factory=list)
    _load_began: threading.Event = field(default_factory=threading.Event)

    def begin_load(self) -> None:
        """Forget how busy the GPUs were so far: the work whose load is measured begins."""
        self._load_began.set()


def gpu_facts() -> list[dict[str, Any]]:
    """Index, name and memory (GiB) of each GPU that this process may use; none without one."""
    with _library() as library:
        return [] if library is None else [_facts(library, handle) for handle in _visible(library)]


@contextmanager
def watch_gpus() -> Iterator[GpuWatch]:
    """Look at the visible GPUs once a second while the block runs, and when it ends."""
    watch, ended = GpuWatch(), threading.Event()
    with _library() as library:
        handles = [] if library is None else _visible(library)
        if library is None or not handles:
            yield watch
            return
        #: By GPU, each look's share of busy time, memory used in GiB, and whether the load had begun.
        samples: list[list[tuple[float, float, bool]]] = [[] for _ in handles]

        def look() -> None:
            is_load = watch._load_began.is_set()
            for handle, seen in zip(handles, samples, strict=True):
                used = _memory(library, handle).used / _GIB
                seen.append((library.nvmlDeviceGetUtilizationRates(handle).gpu / 100, used, is_load))

        def look_on() -> None:
            while not ended.wait(_SAMPLE_EVERY_S):
                look()

        thread = threading.Thread(target=look_on, name="gpu-watch", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            ended.set()
            thread.join()
            look()
            watch.facts = [
                {
                    **_facts(library, handle),
                    "mean_utilisation": round(fmean(s for s, _, is_load in seen if is_load == seen[-1][2]), 3),
                    "max_memory_used_gib": round(max(used for _, used, _ in seen), 2),
                }
                for handle, seen in zip(handles, samples, strict=True)
            ]


@contextmanager
def _library() -> Iterator[ModuleType | None]:
    """NVIDIA's library, open; None where it or the driver is missing."""
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
    """Handles of the GPUs that CUDA_VISIBLE_DEVICES, where it is set, leaves to this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return _every(library)
    handles: list[Any] = []
    for name in filter(None, (part.strip() for part in visible.split(","))):
        named = _named(library, name)
        if len(named) != 1:  # as CUDA: the first that names no card, or several, ends the list
            break
        handles += named
    return handles


def _every(library: ModuleType) -> list[Any]:
    return [library.nvmlDeviceGetHandleByIndex(index) for index in range(library.nvmlDeviceGetCount())]


def _named(library: ModuleType, name: str) -> list[Any]:
    """Handles that an index, the UUID of a card or of a slice of one, or the beginning of a card's UUID stands for."""
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
    """Memory of a card; by the call that does not count the driver's own as used, where the driver has it."""
    try:
        return library.nvmlDeviceGetMemoryInfo(handle, version=library.nvmlMemory_v2)
    except library.NVMLError:
        return library.nvmlDeviceGetMemoryInfo(handle)
