"""A vendor that answers batches in OpenAI's and Gemini's formats, behind the small provider.

Batches stay in progress for some polls and may fail rows. The server is ``small_provider``.
"""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.providers.small_provider import (
    Answer,
    Body,
    chat_completion,
    error_answer,
    extraction_of,
    gemini_reply,
    prompt_of,
)

#: From a row's prompt and the number of earlier occurrences: None, or the row's error status and message.
FailRow = Callable[[str, int], tuple[int, str] | None]


class BatchVendor:
    """A ``respond`` function for the small provider.

    Args:
        n_looks: number of polls that find a batch in progress before it ends.
        fail_row: which rows fail.
        is_listing: whether batches can be listed.
    """

    def __init__(self, n_looks: int = 2, fail_row: FailRow | None = None, is_listing: bool = True) -> None:
        self.n_looks = n_looks
        self.fail_row = fail_row or (lambda _prompt, _n_before: None)
        self.is_listing = is_listing
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, str] = {}
        self.was_submitted = threading.Event()
        self._n_seen: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def sent(self) -> list[list[str]]:
        """The prompts of every batch, in the order the batches came."""
        return [batch["prompts"] for batch in self.batches.values()]

    def __call__(self, path: str, body: Body, _n_before: int) -> Answer:
        with self._lock:
            is_gemini = re.search(r"/models/|/batches/b\d|pageSize=", path) is not None
            return self._gemini(path, body) if is_gemini else self._openai(path, body)

    def _openai(self, path: str, body: Body) -> Answer:
        path, _, query = path.removeprefix("/v1/").partition("?")
        kind, _, name = path.partition("/")
        if kind == "files" and body:
            name = self._keep(body["file"])
            return Answer({"id": name, "object": "file", "purpose": "batch"})
        if kind == "files":
            return Answer(self.files[name.removesuffix("/content")].encode())
        if body:
            rows = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
            prompts = [row["body"]["messages"][-1]["content"] for row in rows]
            new_batch = self._new(f"batch_{len(self.batches)}", body["metadata"]["advcluster"], prompts, rows)
            return Answer(self._as_openai(new_batch))
        if query:
            listed = [self._as_openai(batch) for batch in self.batches.values()] if self.is_listing else None
            return Answer({"object": "list", "data": listed}) if self.is_listing else error_answer(404, "no list")
        if name not in self.batches:
            return error_answer(404, f"no batch {name}")
        return Answer(self._as_openai(self._look(name)))

    def _gemini(self, path: str, body: Body) -> Answer:
        path, _, query = path.removeprefix("/v1beta/").removeprefix("/v1/").partition("?")
        if body:
            rows = body["batch"]["inputConfig"]["requests"]["requests"]
            prompts = [prompt_of(row["request"]) for row in rows]
            name = f"batches/b{len(self.batches)}"
            return Answer(self._as_gemini(self._new(name, body["batch"]["displayName"], prompts, rows)))
        if (query and not self.is_listing) or (not query and path not in self.batches):
            return Answer({"error": {"code": 404, "message": f"no {path}", "status": "NOT_FOUND"}}, 404)
        if query:
            return Answer({"operations": [self._as_gemini(batch) for batch in self.batches.values()]})
        return Answer(self._as_gemini(self._look(path)))

    def _keep(self, content: str) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _new(self, name: str, token: str, prompts: list[str], rows: list[Body]) -> dict[str, Any]:
        self.batches[name] = {
            "name": name, "token": token, "prompts": prompts, "n_looks": 0, "has_ended": False,
            "results": [self._result(row, prompt) for row, prompt in zip(rows, prompts, strict=True)],
        }  # fmt: skip
        self.was_submitted.set()
        return self.batches[name]

    def _result(self, row: Body, prompt: str) -> Body:
        n_before = self._n_seen.get(prompt, 0)
        self._n_seen[prompt] = n_before + 1
        fault = self.fail_row(prompt, n_before)
        if "custom_id" in row:
            answer = chat_completion(row["body"], extraction_of(prompt))
            if fault:
                answer = {"error": {"message": fault[1], "code": None}}
            status = fault[0] if fault else 200
            return {"custom_id": row["custom_id"], "response": {"status_code": status, "body": answer}, "error": None}
        if fault:
            return {"metadata": row["metadata"], "error": {"code": fault[0], "message": fault[1]}}
        return {"metadata": row["metadata"], "response": gemini_reply(row["request"], extraction_of(prompt))}

    def _look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["n_looks"] += 1
        batch["has_ended"] = batch["n_looks"] > self.n_looks
        return batch

    def _as_openai(self, batch: dict[str, Any]) -> Body:
        seen = {
            "id": batch["name"], "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-0",
            "completion_window": "24h", "created_at": 0, "status": "in_progress",
            "metadata": {"advcluster": batch["token"]},
        }  # fmt: skip
        if not batch["has_ended"]:
            return seen
        parts: dict[bool, list[str]] = {True: [], False: []}
        for result in batch["results"]:
            parts[result["response"]["status_code"] == 200].append(json.dumps(result))
        files = {is_good: self._keep("\n".join(lines)) if lines else None for is_good, lines in parts.items()}
        return {**seen, "status": "completed", "output_file_id": files[True], "error_file_id": files[False]}

    def _as_gemini(self, batch: dict[str, Any]) -> Body:
        metadata = {"displayName": batch["token"], "state": "BATCH_STATE_RUNNING", "model": "models/m"}
        if batch["has_ended"]:
            results = {"inlinedResponses": {"inlinedResponses": batch["results"]}}
            metadata |= {"state": "BATCH_STATE_SUCCEEDED", "output": results}
        return {"name": batch["name"], "metadata": metadata}
