"""A small HTTP model provider with OpenAI's and Gemini's formats, for tests and benchmarks.

Implements the wire formats, latency, faults, and server-side counts of requests.

    python tests/providers/small_provider.py --port 8090 [--latency 1] [--fail-rate 0.2] [--malformed-rate 0.05]
        [--drop-rate 0.05] [--analyst] [--seed 0]

POST /v1/chat/completions, /v1/embeddings, /v1/models/NAME:generateContent, :batchEmbedContents;
GET /stats -> {"requests", "completed", "repeated", "max_in_flight"}. Batches are in ``batch_vendor``.
"requests" counts all requests, "completed" those answered with 200, "repeated" how many of those had a body
that had been answered before. With --analyst, the package's own stand-ins answer, so that a whole demo runs over HTTP.
"""

import argparse
import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any, Self

Body = dict[str, Any]
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_BROKEN_TEXT = "Sorry, here is the list you wanted: ["


@dataclass(frozen=True)
class Answer:
    """A response: JSON data or raw bytes; ``is_dropped`` closes the connection instead.

    A header with several values is sent several times; the content type defaults to JSON.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    is_dropped: bool = False


@dataclass
class Stats:
    """Counts since the start."""

    requests: int = 0
    completed: int = 0
    repeated: int = 0
    max_in_flight: int = 0


@dataclass(frozen=True)
class Faults:
    """Shares of requests that end in a 429, 500 or 503, in a dropped connection, or in a broken text."""

    fail_rate: float = 0.0
    drop_rate: float = 0.0
    malformed_rate: float = 0.0


#: Answers a path and a body; the number counts equal bodies answered before. Runs in a thread, so it may block.
Respond = Callable[[str, Body, int], Answer]


class SmallProvider:
    """The server; a context manager that serves in a thread.

    Args:
        respond: creates the answer; :func:`canned` by default.
        latency_s: seconds before each answer.
        faults: injected before ``respond`` is called.
        port: 0 for a free port.
        seed: random seed of the faults.
    """

    def __init__(
        self,
        respond: Respond | None = None,
        latency_s: float = 0.0,
        faults: Faults | None = None,
        port: int = 0,
        seed: int = 0,
    ) -> None:
        self.stats = Stats()
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self._respond = respond or canned
        self._latency_s = latency_s
        self._faults = faults or Faults()
        self._port = port
        self._random = random.Random(seed)
        self._n_answered: Counter[bytes] = Counter()
        self._n_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Base URL for clients."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024, limit=2**24)

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request of a connection; return whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        path = head[0].split()[1]
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/stats":
            answer = Answer(asdict(self.stats))
        else:
            answer = await self._answer(path, raw, headers)
        if answer.is_dropped:
            return False
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(content)), **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
        for name, given in headers.items():
            lines += [f"{name}: {value}" for value in ([given] if isinstance(given, str) else given)]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        await writer.drain()
        return True

    async def _answer(self, path: str, raw: bytes, headers: dict[str, str]) -> Answer:
        self.stats.requests += 1
        self._n_in_flight += 1
        self.stats.max_in_flight = max(self.stats.max_in_flight, self._n_in_flight)
        try:
            await asyncio.sleep(self._latency_s)
            dice = self._random.random()
            fault, is_malformed = self._fault(dice)
            if fault is not None:
                return fault
            body = read_body(raw, headers)
            self.bodies.append(body)
            self.headers.append(headers)
            key = hashlib.sha256(path.encode() + raw).digest()
            n_before = self._n_answered[key]
            self._n_answered[key] += bool(raw)  # requests without content may be repeated
            answer = await asyncio.to_thread(self._respond, path, body, n_before)
            if is_malformed and path.endswith("completions"):
                answer = Answer(chat_completion(body, _BROKEN_TEXT))
            elif is_malformed and path.endswith(":generateContent"):
                answer = Answer(gemini_reply(body, _BROKEN_TEXT))
            if answer.status == 200 and not answer.is_dropped:
                self.stats.completed += 1
                self.stats.repeated += n_before > 0
            else:
                self._n_answered[key] -= bool(raw)
            return answer
        finally:
            self._n_in_flight -= 1

    def _fault(self, dice: float) -> tuple[Answer | None, bool]:
        edge = self._faults.fail_rate
        if dice < edge:
            status = (429, 500, 503)[int(dice / edge * 3)]
            return error_answer(status, "try again", headers={"retry-after": "1"}), False
        edge += self._faults.drop_rate
        if dice < edge:
            return Answer(None, is_dropped=True), False
        return None, dice < edge + self._faults.malformed_rate


def read_body(raw: bytes, headers: Mapping[str, str]) -> Body:
    """JSON data of a request, {"file": text} for an uploaded file, {} for an empty body."""
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return json.loads(raw) if raw else {}
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    for part in raw.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return {"file": content.removesuffix(b"\r\n").decode()}
    raise ValueError("no file in the form")


def gemini_reply(body: Body, text: str, **candidate: Any) -> Body:
    """A Gemini reply with one candidate; further ``candidate`` fields as given."""
    n_prompt = len(prompt_of(body)) // 4
    content = {"role": "model", "parts": [{"text": text}]}
    usage = {"promptTokenCount": n_prompt, "candidatesTokenCount": len(text) // 4}
    return {
        "candidates": [{"index": 0, "finishReason": "STOP", "content": content, **candidate}],
        "usageMetadata": {**usage, "totalTokenCount": sum(usage.values())},
        "modelVersion": "gemini-test-001",
        "responseId": "r-1",
    }


def prompt_of(body: Body) -> str:
    """All text of a Gemini request."""
    contents = [body.get("systemInstruction") or {}, *body["contents"]]
    return "\n".join(part["text"] for content in contents for part in content.get("parts", []))


def chat_completion(body: Body, text: str, **message: Any) -> Body:
    """A chat completion with one choice; further ``message`` fields as given."""
    prompt = "".join(item["content"] for item in body["messages"])
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }  # fmt: skip


def embeddings(body: Body, vectors: list[list[float]]) -> Body:
    """An embeddings response; one token per four characters."""
    n_tokens = sum(len(text) for text in body["input"]) // 4
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def error_answer(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """An error in OpenAI's form."""
    error = {"message": message, "type": "error", "code": code, "param": None}
    return Answer({"error": error}, status, headers or {})


def canned(path: str, body: Body, _n_before: int) -> Answer:
    """A valid extraction for every chat call, three numbers for every text; both depend on the text only."""
    if path == "/v1/embeddings":
        return Answer(embeddings(body, [_three_numbers(text) for text in body["input"]]))
    if path.endswith(":batchEmbedContents"):
        texts = [request["content"]["parts"][0]["text"] for request in body["requests"]]
        return Answer({"embeddings": [{"values": _three_numbers(text)} for text in texts]})
    if path.endswith(":generateContent"):
        return Answer(gemini_reply(body, extraction_of(prompt_of(body))))
    return Answer(chat_completion(body, extraction_of(json.dumps(body["messages"]))))


def extraction_of(prompt: str) -> str:
    """A valid extraction that depends on the prompt."""
    digest = hashlib.sha256(prompt.encode()).digest()
    stage = ("Reading", "Comprehension", "Transformation", "Process Skills", "Encoding")[digest[0] % 5]
    advantages = [
        {"advantage": text, "evidence": "one solution writes them down"}
        for text in ("Tracks units through every step", "Tracks the units through every step")
    ]
    return json.dumps({"failure_stage": stage, "failure_description": f"fails at {stage}", "advantages": advantages})


def _three_numbers(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:3]]


def analyst(seed: int) -> Respond:
    """Answers of the embedded analyst, the simulated families and the embedded embedder, by the model's name.

    The trial of a simulated call is its ``seed`` if the body has one, else the number of earlier equal bodies.
    """
    from advcluster_dagster.demo.embedded_judges import EmbeddedAnalyst, EmbeddedEmbedder
    from advcluster_dagster.demo.simulated_family import SimulatedFamily
    from advcluster_dagster.demo.simulation.profiles import PROFILES
    from advcluster_dagster.models.protocol import CallFailure, ChatRequest, EmbeddingRequest, FatalModelError
    from advcluster_dagster.science.prompting import Message

    judge, family, embedder = EmbeddedAnalyst(), SimulatedFamily(seed=seed), EmbeddedEmbedder()

    def outcomes(path: str, body: Body, n_before: int) -> list[Any]:
        if path == "/v1/embeddings":
            texts = [EmbeddingRequest(body["model"], text, body.get("dimensions")) for text in body["input"]]
            return [outcome for _, outcome in sorted(embedder.embed(texts), key=itemgetter(0))]
        messages = tuple(Message(item["role"], item["content"]) for item in body["messages"])
        request = ChatRequest(body["model"], messages, {}, body.get("seed", n_before))
        provider = family if request.model in PROFILES else judge
        return [outcome for _, outcome in provider.complete([request])]

    def respond(path: str, body: Body, n_before: int) -> Answer:
        try:
            result = outcomes(path, body, n_before)
        except FatalModelError as error:
            return error_answer(404, str(error))
        failure = next((outcome for outcome in result if isinstance(outcome, CallFailure)), None)
        if failure is not None:
            return error_answer(400, f"{failure.reason}: {failure.detail}")
        if path == "/v1/embeddings":
            return Answer(embeddings(body, [outcome.vector.tolist() for outcome in result]))
        return Answer(chat_completion(body, result[0].text))

    return respond


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, default=0)
    for rate in ("latency", "fail-rate", "malformed-rate", "drop-rate"):
        parser.add_argument(f"--{rate}", type=float, default=0.0)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the faults; with --analyst of the simulated families too"
    )
    parser.add_argument("--analyst", action="store_true", help="answer with the package's own stand-ins")
    options = parser.parse_args()
    faults = Faults(options.fail_rate, options.drop_rate, options.malformed_rate)
    respond = analyst(options.seed) if options.analyst else canned
    with SmallProvider(respond, options.latency, faults, options.port, options.seed) as provider:
        print(f"provider at {provider.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
