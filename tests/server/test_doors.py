"""Pages of strangers do not reach the server: neither under a name of theirs nor from their origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from pennyweight.server.doors import host_name, is_nobodys_name
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

PAGE = "https://page.example"


@pytest.fixture(scope="module")
def open_server(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine, allow_hosts=("penny.lan",), allow_origins=(PAGE,), api_key="k") as server:
        yield server


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "penny.lan"])
@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/docs"])
def test_a_name_that_is_not_ours(server: LiveServer, host: str, path: str) -> None:
    reply = httpx.get(server.url + path, headers={"host": host})
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "host_not_allowed"
    assert "--allow-host" in reply.json()["error"]["message"]
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:80", "10.0.0.5", ""])
def test_names_that_are_nobodys(server: LiveServer, host: str) -> None:
    assert httpx.get(f"{server.url}/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", [PAGE, "null", "http://localhost:1"])
def test_pages_of_others_may_not_ask(server: LiveServer, origin: str) -> None:
    reply = httpx.post(f"{server.url}/v1/chat/completions", headers={"origin": origin}, content=b"{}")
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "origin_not_allowed"
    assert "access-control-allow-origin" not in reply.headers


def test_our_own_page_may_ask(server: LiveServer) -> None:
    assert httpx.get(f"{server.url}/openapi.json", headers={"origin": server.url}).status_code == 200


def test_what_was_allowed(open_server: LiveServer) -> None:
    preflight = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    reply = httpx.options(f"{open_server.url}/v1/chat/completions", headers=preflight)
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == PAGE
    refused = httpx.get(f"{open_server.url}/v1/models", headers={"origin": PAGE, "host": "penny.lan:1"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)
    assert "x-request-id" in refused.headers["access-control-expose-headers"]
    assert httpx.get(open_server.url, headers={"origin": "https://other.example"}).status_code == 403


def test_without_keys_any_bearer_is_accepted(server: LiveServer) -> None:
    headers = {"authorization": "Bearer sk-whatever"}
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://]", "://", "[", ""])
def test_an_origin_that_is_none(server: LiveServer, origin: str) -> None:
    for host in (server.url.partition("://")[2], ""):
        reply = httpx.get(f"{server.url}/v1/models", headers={"origin": origin, "host": host})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize("host", ["[", "localhost:[", "[::1", "[zz]", "localhost/x", "localhost:80?", "a]b"])
def test_a_host_that_is_none(engine: Engine, host: str) -> None:
    with live_server(engine, allow_hosts=("*",)) as server:
        body = {"model": server.model, "prompt": "Hi", "max_tokens": 1}
        headers = {"host": host, "idempotency-key": "k"}
        for path in ("completions", "completions/"):
            reply = httpx.post(f"{server.url}/v1/{path}", json=body, headers=headers)
            assert (reply.status_code, "Host" in reply.json()["error"]["message"]) == (400, True)


def test_names_in_headers() -> None:
    assert [host_name(h) for h in ("A.b:80", "[::1]:80", "a.")] == ["a.b", "::1", "a"]
    assert not is_nobodys_name("localhost.evil.example")
    assert is_nobodys_name("a.localhost")
