"""A small Hugging Face hub on this machine: its API, its redirects to another host, its refusals.

As the real one it names the commit (`X-Repo-Commit`) and the digest of a large file (`X-Linked-Etag`) in its
redirect to the host of bytes, which is a `fake_hub.Hub` of its own; a small file it sends itself, after a
redirect within itself.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from tests.models.fake_hub import Hub, running

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "1234567890abcdef1234567890abcdef12345678"
LARGE_BYTES = 1000
"""Files from this size on are of the large kind, which has a SHA-256."""


@dataclass
class Repository:
    """`commits` are files by commit; `branches` names some of these."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    licence: str = "apache-2.0"
    architecture: str | None = None
    gated: bool = False
    private: bool = False


@dataclass
class HuggingFace:
    """`tokens` lets each token into its repositories. `statuses` are answered first, one per request."""

    repositories: dict[str, Repository]
    cdn: Hub = field(default_factory=lambda: Hub(files={}))
    tokens: dict[str, set[str]] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # method and path
    authorizations: list[str | None] = field(default_factory=list)  # of the same requests
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def repository(files: dict[str, bytes], **properties: Any) -> Repository:
    """A repository with one commit."""
    return Repository(commits={COMMIT: files}, **properties)


@contextmanager
def serving(hub: HuggingFace) -> Iterator[HuggingFace]:
    """Serve, with the host of bytes beside it, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(hub, self)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            """Tests stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with running(hub.cdn):
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _answer(hub: HuggingFace, handler: BaseHTTPRequestHandler) -> None:
    path = urlsplit(handler.path).path
    hub.requests.append(f"{handler.command} {unquote(path)}")
    hub.authorizations.append(handler.headers.get("Authorization"))
    if hub.statuses:
        _refuse(handler, hub.statuses.pop(0))
    elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
        _describe(hub, handler, match[1], unquote(match[2] or "main"))
    elif match := re.fullmatch(r"(/api/resolve-cache/models)?/([^/]+/[^/]+)(?:/resolve)?/([^/]+)/(.+)", path):
        revision, file = unquote(match[3]), unquote(match[4])
        _resolve(hub, handler, match[2], revision, file, direct=match[1] is not None)
    else:
        _refuse(handler, 404)


def _describe(hub: HuggingFace, handler: BaseHTTPRequestHandler, name: str, revision: str) -> None:
    found = _found(hub, handler, name, revision)
    if found is None:
        return
    repo, commit = found
    body = {
        "id": name,
        "sha": commit,
        "gated": "manual" if repo.gated else False,
        "cardData": {"license": repo.licence},
        "siblings": [_sibling(file, data) for file, data in repo.commits[commit].items()],
    }
    if repo.architecture is not None:
        body["gguf"] = {"architecture": repo.architecture, "total": 1}
    _send(handler, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _resolve(
    hub: HuggingFace, handler: BaseHTTPRequestHandler, name: str, revision: str, file: str, *, direct: bool
) -> None:
    found = _found(hub, handler, name, revision)
    if found is None:
        return
    repo, commit = found
    data = repo.commits[commit].get(file)
    if repo.gated and name not in hub.tokens.get(_token(handler) or "", ()):
        _refuse(handler, 401 if _token(handler) is None else 403, "GatedRepo")
    elif data is None:
        _refuse(handler, 404, "EntryNotFound")
    elif len(data) >= LARGE_BYTES:
        digest = hashlib.sha256(data).hexdigest()
        hub.cdn.files.setdefault(f"/{digest}", data)
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "X-Repo-Commit": commit}
        _send(handler, b"", {"Location": f"{hub.cdn.address}/{digest}", **linked}, status=302)
    elif not direct:
        where = quote(f"/api/resolve-cache/models/{name}/{commit}/{file}")
        _send(handler, b"", {"Location": where, "X-Repo-Commit": commit}, status=307)
    else:
        _send(handler, data, {"ETag": f'"{_git_blob(data)}"', "X-Repo-Commit": commit})


def _found(
    hub: HuggingFace, handler: BaseHTTPRequestHandler, name: str, revision: str
) -> tuple[Repository, str] | None:
    """The repository and the commit; None after a refusal was sent."""
    token = _token(handler)
    repo = hub.repositories.get(name)
    if token is not None and token not in hub.tokens:
        _refuse(handler, 401, message="Invalid credentials in Authorization header")
    elif repo is None or (repo.private and name not in hub.tokens.get(token or "", ())):
        _refuse(handler, 401 if token is None else 404, "RepoNotFound")
    else:
        commit = repo.branches.get(revision, revision)
        if commit in repo.commits:
            return repo, commit
        _refuse(handler, 404, "RevisionNotFound")
    return None


def _token(handler: BaseHTTPRequestHandler) -> str | None:
    given = handler.headers.get("Authorization")
    return None if given is None else given.removeprefix("Bearer ")


def _sibling(file: str, data: bytes) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file, "size": len(data), "blobId": _git_blob(data)}
    if len(data) >= LARGE_BYTES:
        digest = hashlib.sha256(data).hexdigest()
        sibling["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 130}
    return sibling


def _git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _send(
    handler: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str], *, status: int = 200
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(body)


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str = "", message: str = "") -> None:
    headers = {"X-Error-Code": code} if code else {}
    _send(handler, b"", headers | ({"X-Error-Message": message} if message else {}), status=status)
