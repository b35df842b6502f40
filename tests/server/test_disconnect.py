"""A client that goes away frees its sequence, whether it was reading a stream or waiting for the whole."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import LONG_CONTEXT
from tests.server.live import eventually

if TYPE_CHECKING:
    from tests.server.live import LiveServer


def send(server: LiveServer, *, stream: bool, n: int = 1) -> socket.socket:
    body = json.dumps(
        {
            "model": server.model,
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": stream,
            "ignore_eos": True,
            "n": n,
        }
    ).encode()
    connection = socket.create_connection(("127.0.0.1", server.port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def is_idle(server: LiveServer) -> bool:
    """Whether nothing is left of earlier requests."""
    stats = server.engine.stats()
    return stats.running == stats.waiting == stats.pages_used == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_a_client_that_goes_away_frees_its_sequences(server: LiveServer, stream: bool, n: int) -> None:
    stats = server.engine.stats
    assert is_idle(server)
    generated = stats().generated_tokens
    connection = send(server, stream=stream, n=n)
    eventually(lambda: stats().generated_tokens > generated)
    if stream:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    connection.close()
    eventually(lambda: is_idle(server))
    # Nobody set a limit: had it not been cancelled, it would have filled the context.
    assert stats().generated_tokens - generated < n * (LONG_CONTEXT // 2)


def test_a_client_that_goes_away_before_its_turn(server: LiveServer) -> None:
    stats = server.engine.stats
    connections = [send(server, stream=index % 2 == 0) for index in range(80)]
    eventually(lambda: stats().waiting > 0)
    for connection in connections:
        connection.close()
    eventually(lambda: is_idle(server))
