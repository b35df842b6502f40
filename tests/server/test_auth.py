"""With a key everything under /v1 wants it; health and documentation stay open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def locked(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine, api_key="sésame") as server:
        yield server


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic sésame", "sésame", "Bearer s"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/v1/nowhere", "/metrics"])
def test_without_the_key(locked: LiveServer, path: str, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("utf-8")}
    reply = httpx.get(locked.url + path, headers=headers)  # type: ignore[arg-type]
    assert reply.status_code == 401
    error = reply.json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "invalid_request_error",
        "invalid_api_key",
        None,
    )
    assert "sésame" not in reply.text
    assert reply.headers["x-request-id"]
    assert reply.headers["www-authenticate"] == "Bearer"


def test_the_official_client_with_a_wrong_key(locked: LiveServer) -> None:
    with locked.client("wrong") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_key(locked: LiveServer, scheme: str) -> None:
    headers = {"authorization": f"{scheme} sésame".encode()}
    assert httpx.get(f"{locked.url}/v1/models", headers=headers).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_what_stays_open(locked: LiveServer, path: str) -> None:
    assert httpx.get(locked.url + path).status_code == 200
