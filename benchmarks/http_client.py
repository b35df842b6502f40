"""A client that is not the bottleneck: plain asyncio streams, one connection per request, in its own process.

An HTTP library's parsing costs 50-100 microseconds per event, a tenth of a core at 32 streams; here an event
is noticed by its marker in the bytes read. Reads a JSON list of requests (`after_s`: when to send it, `body`,
`role`: a `background` answer is left as soon as all others are complete), writes a JSON list of what was
seen, times in seconds from the start of the run.

    python -m benchmarks.http_client http://127.0.0.1:8000 < requests.json > seen.json
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVENT = b"data: "
_PATIENCE_S = 600


async def run(url: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Send every request at its time; returns what `Answer.seen` says of each, in order."""
    started_s = perf_counter()
    answers = [Answer(url, request, started_s) for request in requests]
    background = [asyncio.create_task(answer.receive()) for answer in answers if answer.is_background]
    awaited = asyncio.gather(*(answer.receive() for answer in answers if not answer.is_background))
    await asyncio.wait_for(awaited, _PATIENCE_S)
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    return [answer.seen() for answer in answers]


class Answer:
    """One streamed chat completion as it arrives."""

    def __init__(self, url: str, request: dict[str, Any], started_s: float) -> None:
        self._address = urlsplit(url)
        self._request = request
        self._started_s = started_s
        self._sent_s = 0.0
        self._received = bytearray()
        self._arrivals: list[tuple[float, int]] = []  # time, bytes received by then

    @property
    def is_background(self) -> bool:
        return bool(self._request["role"] == "background")

    async def receive(self) -> None:
        """Wait for the request's turn, send it and read to the end."""
        await asyncio.sleep(self._request["after_s"])
        host, port = str(self._address.hostname), self._address.port
        reader, writer = await asyncio.open_connection(host, port)
        self._sent_s = self._now_s()
        writer.write(_encoded(host, self._request["body"]))
        try:
            while data := await reader.read(65536):
                self._received += data
                self._arrivals.append((self._now_s(), len(self._received)))
        finally:
            writer.close()

    def seen(self) -> dict[str, Any]:
        """When it was sent, when each event with text came, and the usage. RuntimeError for a failure."""
        body = bytes(self._received)
        complete = b"data: [DONE]" in body or self.is_background
        if not body.startswith(b"HTTP/1.1 200") or not complete:
            raise RuntimeError(f"a request failed: {body[:2000].decode(errors='replace')}")
        times, usage = [], {"prompt_tokens": 0, "completion_tokens": 0}
        for arrived_s, chunk in self._events(body):
            usage = chunk.get("usage") or usage
            if any(choice["delta"].get("content") for choice in chunk["choices"]):
                times.append(round(arrived_s, 6))
        if not usage["prompt_tokens"] and not self.is_background:
            raise RuntimeError("an answer ended without its usage")
        counts = {name: usage[name] for name in ("prompt_tokens", "completion_tokens")}
        return {"sent_s": self._sent_s, "times_s": times, **counts}

    def _events(self, body: bytes) -> Iterator[tuple[float, dict[str, Any]]]:
        """Each complete event with the time at which its last byte had come."""
        arrivals = iter(self._arrivals)
        arrived_s, received = next(arrivals)
        start = body.find(_EVENT)
        while start >= 0 and (end := body.find(b"\n", start)) >= 0:
            while received < end:
                arrived_s, received = next(arrivals)
            event = body[start + len(_EVENT) : end].strip()
            if event != b"[DONE]":
                yield arrived_s, json.loads(event)
            start = body.find(_EVENT, end)

    def _now_s(self) -> float:
        return perf_counter() - self._started_s


def _encoded(host: str, body: dict[str, Any]) -> bytes:
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    data = json.dumps(streamed).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data


def main() -> None:
    seen = asyncio.run(run(sys.argv[1], json.load(sys.stdin)))
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
