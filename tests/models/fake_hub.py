"""A small file server that misbehaves on demand: cuts connections, ignores ranges, answers with errors."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Hub:
    """What the server holds and how it behaves. Each entry of `cut_after` cuts the body of one answer."""

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # answered first, one per request
    ranges: bool = True
    etags: dict[str, str] = field(default_factory=dict)  # by path
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range header
    authorizations: list[str | None] = field(default_factory=list)  # of the same requests
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(hub, self)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Tests stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(hub: Hub, handler: BaseHTTPRequestHandler) -> None:
    wanted = handler.headers.get("Range")
    hub.requests.append((handler.path, wanted))
    hub.authorizations.append(handler.headers.get("Authorization"))
    if hub.statuses:
        handler.send_error(hub.statuses.pop(0))
        return
    data = hub.files.get(handler.path)
    if data is None:
        handler.send_error(404)
        return
    start = 0
    match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
    etag = hub.etags.get(handler.path)
    if match and hub.ranges and handler.headers.get("If-Range") in (None, etag):
        start = int(match[1])
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    else:
        handler.send_response(200)
    body = data[start:]
    handler.send_header("Content-Length", str(len(body)))
    if etag is not None:
        handler.send_header("ETag", etag)
    handler.end_headers()
    handler.wfile.write(body[: hub.cut_after.pop(0)] if hub.cut_after else body)
