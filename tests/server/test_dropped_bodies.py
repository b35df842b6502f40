"""A request answered before it was whole: the answer arrives, and the rest is not read for ever."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import openai
import pytest

from pennyweight.server import http

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.live import LiveServer

ENDLESS = b"POST /v1/files HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-type: "
REFUSED = b"text/plain\r\n\r\n"
"""An upload is multipart/form-data: refused when its headers are read."""
PATIENCE_S = 60.0


def connected(server: LiveServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def send_until_cut_off(client: socket.socket, chunk: bytes, pause: Callable[[], None]) -> int:
    """Bytes sent before the server closed the connection."""
    sent, deadline = 0, time.monotonic() + PATIENCE_S
    framed = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n"
    while time.monotonic() < deadline:
        try:
            client.sendall(framed)
        except (ConnectionResetError, BrokenPipeError):
            return sent
        sent += len(framed)
        pause()
    raise AssertionError("it is read for ever")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/files", "text/plain"),
        ("/v1/nowhere", "text/plain"),
        ("/v1/chat/completions", "application/json"),
    ],
)
def test_an_endless_body_is_cut_off(server: LiveServer, path: str, kind: str) -> None:
    with connected(server) as client:
        head = ENDLESS.replace(b"/v1/files", path.encode()) + kind.encode() + b"\r\n\r\n"
        client.sendall(head)
        sent = send_until_cut_off(client, bytes(2**18), lambda: None)
    # The sockets' own buffers hold some megabytes beside what the server read.
    assert http.MAX_DROPPED_BYTES < sent < http.MAX_DROPPED_BYTES + 32 * 2**20


def test_a_body_that_trickles_is_cut_off(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_DROPPING_S", 0.3)
    with connected(server) as client:
        client.sendall(ENDLESS + REFUSED)
        assert client.recv(20).startswith(b"HTTP/1.1 400 ")
        send_until_cut_off(client, b"x", lambda: time.sleep(0.02))


def test_the_answer_comes_before_the_rest(server: LiveServer) -> None:
    with connected(server) as client:
        client.sendall(ENDLESS + REFUSED)
        assert client.recv(20).startswith(b"HTTP/1.1 400 ")


def test_whoever_sends_everything_first_is_told_why(client: openai.OpenAI) -> None:
    """The official client, which reads no answer before it has sent 48 MB."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("big", bytes(48_000_000)), purpose="colour")  # type: ignore[arg-type]
    assert caught.value.param == "purpose"


def test_a_connection_is_used_again_after_a_body_that_was_dropped(server: LiveServer) -> None:
    with connected(server) as client:
        for _ in range(3):
            client.sendall(ENDLESS + REFUSED + b"5\r\nhello\r\n0\r\n\r\n")
            told = b""
            while b'"param"' not in told or not told.endswith(b"}}"):
                told += client.recv(4096)
            assert told.startswith(b"HTTP/1.1 400 ")
