"""Many clients at once, some of which leave: nothing stays behind, and the slow ones slow nobody."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from typing import TYPE_CHECKING, Any

import httpx

from tests.server.live import eventually
from tests.server.test_disconnect import is_idle

if TYPE_CHECKING:
    from tests.server.live import LiveServer

SCHEMA = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
KINDS: list[dict[str, Any]] = [
    {},
    {"n": 3},
    {"logprobs": True, "top_logprobs": 5},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL]},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
    {"stop": ["e", "zz"]},
    {"prediction": {"type": "content", "content": "hello " * 30}},
    {"model": "gpt-4o-mini", "store": False},
    {"ignore_eos": True, "max_tokens": None},  # without a limit: only leaving ends it
]


def body_of(server: LiveServer, number: int, chance: random.Random) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Client {number % 8} says hello. " * chance.randint(1, 60)}]
    limits = {"max_tokens": chance.choice([1, 20, 200]), "seed": number}
    common = {"model": server.model, "messages": messages, "stream": chance.random() < 0.8, **limits}
    return {**common, **chance.choice(KINDS)}


async def visit(client: httpx.AsyncClient, server: LiveServer, number: int) -> str:
    """One client: reads everything, or leaves after some pieces, or before the first."""
    chance = random.Random(number)
    body = body_of(server, number, chance)
    patience = chance.choice([0, 1, 3, 1000]) if body["max_tokens"] else chance.choice([0, 1, 3])
    url = f"{server.url}/v1/chat/completions"
    if not body["stream"] and patience < 1000:
        try:
            await asyncio.wait_for(client.post(url, json=body), timeout=chance.random() / 20)
        except TimeoutError:
            return "left"
        return "answered"
    async with client.stream("POST", url, json=body) as reply:
        assert reply.status_code == 200, (await reply.aread(), body)
        read = 0
        async for line in reply.aiter_lines():
            assert not line.startswith('data: {"error"'), line
            read += 1
            if read > patience:
                return "left"
    return "answered"


def test_64_streams_with_disconnects_leave_nothing_behind(server: LiveServer) -> None:
    async def crowd() -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            return await asyncio.gather(*(visit(client, server, number) for number in range(64)))

    ends = asyncio.run(crowd())
    assert {"left", "answered"} == set(ends)
    eventually(lambda: is_idle(server))
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"


def test_a_reader_that_does_not_read_holds_nobody_up(server: LiveServer) -> None:
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "max_tokens": 3000,
        "ignore_eos": True,
        "logprobs": True,  # long events: far more than the sockets hold
        "top_logprobs": 20,
    }
    content = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    before = server.engine.stats().generated_tokens
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.connect(("127.0.0.1", server.port))
        lazy.sendall(head.encode() + content)
        eventually(lambda: server.engine.stats().generated_tokens > before)
        other = httpx.post(
            f"{server.url}/v1/chat/completions", json={**body, "stream": False, "max_tokens": 5}, timeout=60
        )
        assert other.json()["usage"]["completion_tokens"] == 5
        # The engine is done with the lazy one's answer although nobody has read it.
        eventually(lambda: is_idle(server))
        assert server.engine.stats().generated_tokens - before >= 3000
        lazy.settimeout(60)
        received = b""
        while not received.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"):
            piece = lazy.recv(65536)
            assert piece, received[-200:]
            received += piece
    assert received.count(b'"finish_reason":"length"') == 1
