"""GPUs as reported by NVIDIA's library, which is replaced by a fake, since test machines have no GPU."""

# ruff: noqa: N802, N815 the library's own names

import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from advcluster_dagster.models.gpu import gpu_facts, watch_gpus

GIB = 2**30
SLICE = "MIG-dddd"  # of the third GPU
CARDS = {0: "GPU-aaaa", 1: "GPU-bbbb", 2: "GPU-cccc"}


class FakeError(Exception):
    pass


class FakeLibrary(ModuleType):
    """Three GPUs of 80 GiB; each sample sees more memory used."""

    NVMLError = FakeError
    nvmlMemory_v2 = 2

    def __init__(self, has_driver=True):
        super().__init__("pynvml")
        self.has_v2 = True
        self.has_driver, self.n_open, self.looks, self.looked = has_driver, 0, 0, threading.Event()

    def nvmlInit(self):
        if not self.has_driver:
            raise FakeError("driver not loaded")
        self.n_open += 1

    def nvmlShutdown(self):
        self.n_open -= 1

    def nvmlDeviceGetCount(self):
        return len(CARDS)

    def nvmlDeviceGetHandleByIndex(self, index):
        if index not in CARDS:
            raise FakeError("invalid index")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        known = {**{name: index for index, name in CARDS.items()}, SLICE: 2}
        if uuid not in known:
            raise FakeError("not found")
        return known[uuid]

    def nvmlDeviceGetUUID(self, handle):
        return CARDS[handle]

    def nvmlDeviceGetIndex(self, handle):
        return handle

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle, version=None):
        if version is not None and not self.has_v2:
            raise FakeError("not supported")
        of_driver = 0 if version == self.nvmlMemory_v2 else GIB // 2
        return SimpleNamespace(total=80 * GIB, used=(self.looks + 1) * GIB + of_driver)

    def nvmlDeviceGetUtilizationRates(self, handle):
        self.looks += 1
        if self.looks >= 2:
            self.looked.set()
        return SimpleNamespace(gpu=50 if self.looks % 2 else 100)


@pytest.fixture
def library(monkeypatch):
    library = FakeLibrary()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return library


def test_every_card_is_told(library):
    assert gpu_facts() == [{"index": index, "name": "NVIDIA H100", "memory_gib": 80.0} for index in CARDS]
    assert library.n_open == 0


@pytest.mark.parametrize(
    ("visible", "indexes"),
    [
        ("1", [1]),
        ("2, 0", [2, 0]),
        ("GPU-cccc", [2]),
        ("", []),
        ("-1", []),
        ("1,9,0", [1]),
        ("GPU-none", []),
        (SLICE, [2]),
        ("GPU-b", [1]),
        ("GPU-", []),
        ("0,GPU-", [0]),
    ],
)
def test_only_visible_cards_are_told(library, monkeypatch, visible, indexes):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [fact["index"] for fact in gpu_facts()] == indexes


@pytest.mark.parametrize("library_at_hand", [None, FakeLibrary(has_driver=False)])
def test_without_a_gpu_nothing_is_told(monkeypatch, library_at_hand):
    monkeypatch.setitem(sys.modules, "pynvml", library_at_hand)
    assert gpu_facts() == []
    with watch_gpus() as watch:
        pass
    assert watch.facts == []


def test_a_watch_sums_up_what_it_saw(library, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr("advcluster_dagster.models.gpu._SAMPLE_EVERY_S", 0.001)
    with watch_gpus() as watch:
        assert library.looked.wait(30)
        assert watch.facts == []
    (fact,) = watch.facts
    assert (fact["index"], fact["memory_gib"]) == (1, 80.0)
    assert 0.5 <= fact["mean_utilisation"] <= 1.0
    assert fact["max_memory_used_gib"] == library.looks
    assert library.n_open == 0


def test_only_the_load_counts_as_utilisation_but_all_memory(library, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr("advcluster_dagster.models.gpu._SAMPLE_EVERY_S", 3600)  # one look, at the end
    monkeypatch.setattr(library, "nvmlDeviceGetUtilizationRates", lambda _handle: SimpleNamespace(gpu=75))
    with watch_gpus() as watch:
        watch.begin_load()
    assert watch.facts == [
        {"index": 1, "name": "NVIDIA H100", "memory_gib": 80.0, "mean_utilisation": 0.75, "max_memory_used_gib": 1.0}
    ]


def test_what_was_busy_before_the_load_is_forgotten(library, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setattr("advcluster_dagster.models.gpu._SAMPLE_EVERY_S", 0.001)
    shares, looked = [0], threading.Event()

    def rates(_handle):
        looked.set()
        return SimpleNamespace(gpu=shares[0])

    monkeypatch.setattr(library, "nvmlDeviceGetUtilizationRates", rates)
    with watch_gpus() as watch:
        assert looked.wait(30)  # a look at the idle card, while the engine loads
        shares[0] = 80
        watch.begin_load()
    assert watch.facts[0]["mean_utilisation"] == 0.8


def test_a_driver_without_the_newer_call_counts_its_own_memory_too(library, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    library.has_v2 = False
    with watch_gpus() as watch:
        pass
    assert watch.facts[0]["max_memory_used_gib"] == 1.5


def test_a_watch_ends_with_an_error_too(library):
    with pytest.raises(ValueError, match="engine"), watch_gpus():
        raise ValueError("engine")
    assert library.n_open == 0
    assert not any(thread.name == "gpu-watch" for thread in threading.enumerate())
