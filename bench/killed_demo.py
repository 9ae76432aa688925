"""The demonstration killed at ten moments, then run twice at once, its judges behind HTTP: what is paid for twice.

Run it as `python bench/killed_demo.py [--kills 10]`. The demo study runs with its judges and embedder behind the tests'
small provider, undisturbed once; then in another home it is killed with SIGKILL again and again, each time a little
further on. After each kill a copy of that home is run to its end, and its tables are held against the undisturbed
run's by content hash. Printed per kill: how far it was, whether the tables are equal, and how many questions the
provider was asked more than once, all kills so far together. At last, in a third home, two studies that ask the same
are run at once, and one of them once more with --wait. Exit status 1 if any table differs, any ledger entry was
answered twice, more was repeated than was in flight at the kills, or anything at all by the runs at once.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from advcluster_dagster.storage.home import Home, shipped  # noqa: E402
from tests.providers.small_provider import SmallProvider, analyst  # noqa: E402
from tests.studies import content_hashes, ledger_rows, n_files, questions_asked, run_until, write_study  # noqa: E402

IN_FLIGHT = 16
#: A published file counts as much progress as this many calls.
CALLS_PER_FILE = 20


class Judged:
    """The demo study in a home of its own, judged by a small provider of its own."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.provider = SmallProvider(analyst(0), latency_s=0.02)

    def __enter__(self) -> "Judged":
        self.provider.__enter__()
        write_study(self.home.root, _study(self.provider.url))
        return self

    def __exit__(self, *_: object) -> None:
        self.provider.__exit__()

    def run(self, until: float = float("inf"), study: str = "demo", *options: str) -> bool:
        """Run to the end, or to a SIGKILL at this progress; whether it was killed."""
        return run_until(["run", study, *options], self.home, lambda: self.progress() >= until, timeout_s=900)

    def progress(self) -> float:
        """Calls made and files published."""
        return len(ledger_rows(self.home)) + CALLS_PER_FILE * n_files(self.home)

    def hashes(self, study: str = "demo") -> dict[str, str | None]:
        """Content of every table partition."""
        return content_hashes(self.home, self.home.load_study(study))

    def asked(self) -> Counter[str]:
        """What the provider was asked."""
        return questions_asked(self.provider.bodies)

    def n_answered_twice(self) -> int:
        """Ledger entries that got a second answer."""
        return sum(n_replies > 1 for _, n_replies, _ in ledger_rows(self.home))


def _study(url: str) -> dict[str, Any]:
    study: dict[str, Any] = yaml.safe_load((shipped("data/studies") / "demo.yaml").read_text(encoding="utf-8"))
    judge = {"model": "analyst", "provider": "small"}
    return study | {
        # The wire carries no review number, so several reviews of a candidate are equal questions to the provider.
        "clustering": {"n_reviews": 1},
        "judges": {
            **dict.fromkeys(("extractor", "summariser", "reviewer"), judge),
            "embedder": {"model": "wordllama-256", "provider": "small"},
        },
        "providers": {"small": {"base_url": url, "api_key_env": "SMALL_PROVIDER_KEY", "max_in_flight": IN_FLIGHT}},
    }


def finish_copy(killed: Judged, folder: Path, whole: Judged) -> tuple[list[str], int, int]:
    """Run a copy of a killed home to its end: tables that differ, answers repeated so far, entries answered twice."""
    shutil.copytree(killed.home.root, folder)
    with Judged(folder) as copy:
        copy.run()
        found = (
            _differing(copy.hashes(), whole.hashes()),
            _n_repeated(killed.asked() + copy.asked()),
            copy.n_answered_twice(),
        )
    shutil.rmtree(folder)
    return found


def run_at_once(folder: Path, whole: Judged) -> tuple[list[str], int, int]:
    """Run two studies that ask the same at once, one of them twice: as :func:`finish_copy`."""
    with Judged(folder) as both, ThreadPoolExecutor() as pool:
        write_study(both.home.root, _study(both.provider.url) | {"study": "twin"})
        runs = [pool.submit(both.run, float("inf"), *given) for given in (["demo"], ["twin"], ["demo", "--wait"])]
        assert not any(run.result() for run in runs)
        differing = [name for study in ("demo", "twin") for name in _differing(both.hashes(study), whole.hashes())]
        return differing, _n_repeated(both.asked()), both.n_answered_twice()


def _n_repeated(asked: Counter[str]) -> int:
    return asked.total() - len(asked)


def _differing(found: dict[str, str | None], wanted: dict[str, str | None]) -> list[str]:
    return [name for name in wanted if found[name] != wanted[name]]


def _named(differing: list[str]) -> str:
    return f"DIFFERENT: {', '.join(differing)}" if differing else "tables equal"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    os.environ["SMALL_PROVIDER_KEY"] = "none"
    is_good, begun = True, time.perf_counter()
    with tempfile.TemporaryDirectory() as name, Judged(Path(name, "whole")) as whole:
        whole.run()
        total, n_calls = whole.progress(), len(ledger_rows(whole.home))
        print(f"undisturbed: {time.perf_counter() - begun:.0f} s, {n_calls} calls, {n_files(whole.home)} files")
        with Judged(Path(name, "killed")) as killed:
            for kill in range(options.kills):
                moment = (kill + 0.5) / options.kills
                was_killed = killed.run(moment * total)
                place = f"{len(ledger_rows(killed.home)):>5} calls {n_files(killed.home):>4} files"
                differing, repeated, n_twice = finish_copy(killed, Path(name, "copy"), whole)
                is_good &= was_killed and not differing and not n_twice and repeated <= IN_FLIGHT * (kill + 1)
                print(
                    f"kill {kill + 1:>2} at {moment:>4.0%} {place}: {_named(differing)},"
                    f" {repeated} answers repeated (in flight: {IN_FLIGHT} a kill), {n_twice} entries twice",
                    flush=True,
                )
        differing, repeated, n_twice = run_at_once(Path(name, "both"), whole)
        is_good &= not differing and not repeated and not n_twice
        print(f"runs at once: {_named(differing)}, {repeated} answers repeated, {n_twice} entries twice")
    print(f"in all {time.perf_counter() - begun:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
