"""Small services that misbehave: each answers every request with the same bytes and keeps what it got."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


@dataclass(slots=True, kw_only=True)
class Hostile:
    """`url` is what to configure; `requests` are whole, `hung_up` is set when a client closes early."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> dict[str, Any]:
        """The last request's."""
        body: dict[str, Any] = json.loads(self.requests[-1].partition(b"\r\n\r\n")[2])
        return body


def head(status: int, *, content_type: str = "application/json", **headers: str) -> bytes:
    """The beginning of a response that lasts until the connection ends."""
    named = {"content-type": content_type, "connection": "close", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode()


def stream(*events: object, done: bool = True) -> bytes:
    """A response of server-sent events; bytes are sent as they are."""
    texts = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    lines = b"".join(b"data: " + text + b"\n\n" for text in (*texts, *([b"[DONE]"] if done else [])))
    return head(200, content_type="text/event-stream") + lines


@contextmanager
def hostile(response: bytes, *, stays: bool = False) -> Iterator[Hostile]:
    """Serves `response`; with `stays` the connection is then left open until the client closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Hostile(url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        listener.settimeout(PATIENCE_S)
        thread = threading.Thread(target=_serve, args=(listener, service, response, stays))
        thread.start()
        try:
            yield service
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, service: Hostile, response: bytes, stays: bool) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down
            return
        with connection:
            connection.settimeout(PATIENCE_S)
            try:
                service.requests.append(_read(connection))
                connection.sendall(response)
                if stays:
                    while connection.recv(4096):
                        pass
                    service.hung_up.set()
            except OSError:
                service.hung_up.set()


def _read(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    top, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return top + b"\r\n\r\n" + body
