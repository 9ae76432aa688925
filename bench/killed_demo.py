"""Kill the demonstration repeatedly and run it concurrently, with judges behind HTTP; count calls paid for twice.

Run it as `python bench/killed_demo.py [--kills 10]`. The demo study is run once undisturbed, with its judges and
embedder behind the tests' small provider. In a second home it is killed with SIGKILL repeatedly, each time a little
further on. After each kill a copy of that home is run to completion, and its tables are compared with the undisturbed
run's by content hash. Printed per kill: its progress, whether the tables are equal, and the cumulative number of
requests that the provider received more than once. Finally, in a third home, two studies with equal requests are run
concurrently, and one of them again with --wait. Exit status 1 if any table differs, any ledger entry was answered
twice, more requests were repeated than were in flight at the kills, or the concurrent runs repeated any.
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
#: Number of calls that a published file counts as in the progress.
CALLS_PER_FILE = 20


class Judged:
    """The demo study in a separate home, with a separate small provider for its judges."""

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
        """Run to completion, or to a SIGKILL at this progress; return whether it was killed."""
        return run_until(["run", study, *options], self.home, lambda: self.progress() >= until, timeout_s=900)

    def progress(self) -> float:
        """Progress: calls made plus weighted files published."""
        return len(ledger_rows(self.home)) + CALLS_PER_FILE * n_files(self.home)

    def hashes(self, study: str = "demo") -> dict[str, str | None]:
        """Content hash of every table partition."""
        return content_hashes(self.home, self.home.load_study(study))

    def asked(self) -> Counter[str]:
        """Requests received by the provider, with their counts."""
        return questions_asked(self.provider.bodies)

    def n_answered_twice(self) -> int:
        """Number of ledger entries with a second answer."""
        return sum(n_replies > 1 for _, n_replies, _ in ledger_rows(self.home))


def _study(url: str) -> dict[str, Any]:
    study: dict[str, Any] = yaml.safe_load((shipped("data/studies") / "demo.yaml").read_text(encoding="utf-8"))
    judge = {"model": "analyst", "provider": "small"}
    return study | {
        # Requests carry no review number, so several reviews of a candidate would be equal requests.
        "clustering": {"n_reviews": 1},
        "judges": {
            **dict.fromkeys(("extractor", "summariser", "reviewer"), judge),
            "embedder": {"model": "wordllama-256", "provider": "small"},
        },
        "providers": {"small": {"base_url": url, "api_key_env": "SMALL_PROVIDER_KEY", "max_in_flight": IN_FLIGHT}},
    }


def finish_copy(killed: Judged, folder: Path, whole: Judged) -> tuple[list[str], int, int]:
    """Complete a copy of a killed home; return differing tables, requests repeated so far, entries answered twice."""
    shutil.copytree(killed.home.root, folder)
    with Judged(folder) as copy:
        copy.run()
        result = (
            _differing(copy.hashes(), whole.hashes()),
            _n_repeated(killed.asked() + copy.asked()),
            copy.n_answered_twice(),
        )
    shutil.rmtree(folder)
    return result


def run_at_once(folder: Path, whole: Judged) -> tuple[list[str], int, int]:
    """Run two studies with equal requests concurrently, one of them twice; return as :func:`finish_copy`."""
    with Judged(folder) as both, ThreadPoolExecutor() as pool:
        write_study(both.home.root, _study(both.provider.url) | {"study": "twin"})
        commands = (["demo"], ["twin"], ["demo", "--wait"])
        runs = [pool.submit(both.run, float("inf"), *arguments) for arguments in commands]
        assert not any(run.result() for run in runs)
        differing = [name for study in ("demo", "twin") for name in _differing(both.hashes(study), whole.hashes())]
        return differing, _n_repeated(both.asked()), both.n_answered_twice()


def _n_repeated(asked: Counter[str]) -> int:
    return asked.total() - len(asked)


def _differing(hashes: dict[str, str | None], expected: dict[str, str | None]) -> list[str]:
    return [name for name in expected if hashes[name] != expected[name]]


def _named(differing: list[str]) -> str:
    return f"DIFFERENT: {', '.join(differing)}" if differing else "tables equal"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    os.environ["SMALL_PROVIDER_KEY"] = "none"
    is_good, started = True, time.perf_counter()
    with tempfile.TemporaryDirectory() as name, Judged(Path(name, "whole")) as whole:
        whole.run()
        total, n_calls = whole.progress(), len(ledger_rows(whole.home))
        print(f"undisturbed: {time.perf_counter() - started:.0f} s, {n_calls} calls, {n_files(whole.home)} files")
        with Judged(Path(name, "killed")) as killed:
            for kill in range(options.kills):
                moment = (kill + 0.5) / options.kills
                was_killed = killed.run(moment * total)
                progress = f"{len(ledger_rows(killed.home)):>5} calls {n_files(killed.home):>4} files"
                differing, repeated, n_twice = finish_copy(killed, Path(name, "copy"), whole)
                is_good &= was_killed and not differing and not n_twice and repeated <= IN_FLIGHT * (kill + 1)
                print(
                    f"kill {kill + 1:>2} at {moment:>4.0%} {progress}: {_named(differing)},"
                    f" {repeated} answers repeated (in flight: {IN_FLIGHT} a kill), {n_twice} entries twice",
                    flush=True,
                )
        differing, repeated, n_twice = run_at_once(Path(name, "both"), whole)
        is_good &= not differing and not repeated and not n_twice
        print(f"runs at once: {_named(differing)}, {repeated} answers repeated, {n_twice} entries twice")
    print(f"in total {time.perf_counter() - started:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
