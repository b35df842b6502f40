"""A client that goes away frees everything its completion or response had running."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import LONG_CONTEXT
from tests.server.live import eventually

if TYPE_CHECKING:
    from tests.server.live import LiveServer

ASKED: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": ["a", "b", "c"], "n": 2, "max_tokens": LONG_CONTEXT},
    "/v1/responses": {"input": "Hi"},
}


def send(server: LiveServer, path: str, *, stream: bool) -> socket.socket:
    fields = {"model": server.model, "stream": stream, "ignore_eos": True, **ASKED[path]}
    body = json.dumps(fields).encode()
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def is_idle(server: LiveServer) -> bool:
    stats = server.engine.stats()
    return stats.running == stats.waiting == stats.pages_used == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ASKED)
def test_a_client_that_goes_away_frees_its_sequences(server: LiveServer, path: str, stream: bool) -> None:
    stats = server.engine.stats
    assert is_idle(server)
    generated = stats().generated_tokens
    connection = send(server, path, stream=stream)
    eventually(lambda: stats().generated_tokens > generated)
    if stream:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    connection.close()
    eventually(lambda: is_idle(server))
    assert stats().generated_tokens - generated < LONG_CONTEXT // 2


@pytest.mark.parametrize("path", ASKED)
def test_clients_that_go_away_before_their_turn(server: LiveServer, path: str) -> None:
    stats = server.engine.stats
    connections = [send(server, path, stream=index % 2 == 0) for index in range(70)]
    eventually(lambda: stats().waiting > 0)
    for connection in connections:
        connection.close()
    eventually(lambda: is_idle(server))
