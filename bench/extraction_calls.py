"""Benchmark of extraction calls against an HTTP provider: wall time relative to the ideal.

Measures the whole path from requests to validated records, ledger included. Run from the repository root:

    python bench/extraction_calls.py [--calls 1000] [--in-flight 64] [--url http://127.0.0.1:8090/v1]
        [--kind google-genai] [--fail-rate 0.2] [--malformed-rate 0.05] [--drop-rate 0.05]

Without --url it starts the tests' small provider in a separate process. Printed: wall seconds, the ideal
ceil(calls / share of usable answers / in flight) x latency, their ratio, the provider's counts, and the calls made by a
second pass (0).
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advcluster_dagster.ledger.calls import CallStats, ModelCalls
from advcluster_dagster.ledger.ledger import Ledger
from advcluster_dagster.ledger.validated import InvalidReply, ask_validated
from advcluster_dagster.models.google_genai import GoogleGenaiChat
from advcluster_dagster.models.openai_compatible import OpenAICompatibleChat
from advcluster_dagster.models.protocol import ChatRequest
from advcluster_dagster.prompts.files import load_prompt
from advcluster_dagster.science.advantage_extraction.messages import extraction_messages
from advcluster_dagster.science.advantage_extraction.replies import ExtractionReply, parse_extraction_reply
from advcluster_dagster.science.prompting import wire_schema
from advcluster_dagster.study.models import Provider

SMALL_PROVIDER = Path(__file__).resolve().parent.parent / "tests" / "providers" / "small_provider.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=1.0, help="of the provider, for the ideal")
    for rate in ("fail-rate", "malformed-rate", "drop-rate"):
        parser.add_argument(f"--{rate}", type=float, default=0.0, help="of the provider that is started")
    parser.add_argument("--url", help="address of a running provider, with the API version for OpenAI's format")
    parser.add_argument("--kind", choices=["openai", "google-genai"], default="openai", help="the wire format")
    options = parser.parse_args()
    requests = [extraction_request(number) for number in range(options.calls)]
    with provider_at(options) as url, tempfile.TemporaryDirectory() as folder:
        base_url = url if options.kind == "openai" else url.removesuffix("/v1")
        settings = Provider(kind=options.kind, base_url=base_url, max_in_flight=options.in_flight)
        ledger = Ledger(f"sqlite:///{folder}/calls.sqlite")
        before = stats_of(url)
        wall, results, stats = one_pass(ledger, settings, requests)
        after = stats_of(url)
        _, _, second = one_pass(ledger, settings, requests)
    answered = 1 - options.fail_rate - options.malformed_rate - options.drop_rate
    ideal = math.ceil(options.calls / answered / options.in_flight) * options.latency
    print(
        f"{options.calls} calls, {options.in_flight} in flight: {wall:.1f} s, ideal {ideal:.1f} s, x{wall / ideal:.2f}"
    )
    print(f"results: {dict(Counter(name_of(result) for result in results))}; {stats}")
    n_requests, n_repeated = (after[name] - before[name] for name in ("requests", "repeated"))
    print(f"provider: {n_requests} requests, {n_repeated} repeated, {after['max_in_flight']} in flight at most")
    print(f"second pass: {second.n_asked} calls, {second.n_replayed} replayed")


def one_pass(ledger: Ledger, settings: Provider, requests: list[ChatRequest]) -> tuple[float, list[Any], CallStats]:
    start = time.perf_counter()
    use = ("bench", "advantage_corpus", "family|domain")
    chat = GoogleGenaiChat if settings.kind == "google-genai" else OpenAICompatibleChat
    with ModelCalls(ledger, "bench", lambda: chat("bench", settings), use) as calls:
        results = ask_validated(calls, requests, parse_extraction_reply, max_repeats=2)
        return time.perf_counter() - start, results, calls.stats


def extraction_request(number: int) -> ChatRequest:
    """A real extraction prompt over generated traces of a few hundred words."""
    problem = f"A tank holds {number + 3} litres and gains {number % 7 + 2} litres a minute. When does it hold 1000?"
    larger = "\n".join(
        f"Step {step}: after {step} minutes it holds {number + 3 + step * (number % 7 + 2)}." for step in range(40)
    )
    smaller = "\n".join(
        f"Step {step}: after {step} minutes it holds {number + step * (number % 7)}." for step in range(40)
    )
    messages = extraction_messages(load_prompt("extraction"), problem, larger, smaller, "1", "2")
    return ChatRequest("extractor", messages, reply_schema=wire_schema(ExtractionReply))


def name_of(result: Any) -> str:
    return result.reason if isinstance(result, InvalidReply) else "extraction"


def stats_of(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as response:
        counts: dict[str, int] = json.load(response)
        return counts


@contextmanager
def provider_at(options: argparse.Namespace) -> Iterator[str]:
    """The given address, or that of a small provider that runs during the block."""
    if options.url:
        yield options.url
        return
    command = [sys.executable, str(SMALL_PROVIDER), "--latency", str(options.latency)]
    for rate in ("fail_rate", "malformed_rate", "drop_rate"):
        command += [f"--{rate.replace('_', '-')}", str(getattr(options, rate))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.search(r"http://\S+", process.stdout.readline())
            assert match, "the provider did not start"
            yield match[0]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
