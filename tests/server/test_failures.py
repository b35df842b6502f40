"""Every failure has OpenAI's error object, whatever fails and wherever."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from pennyweight.errors import OverloadedError, UnavailableError
from pennyweight.server.envelope import error_response, install_error_handlers
from pennyweight.server.request_id import RequestId
from tests.server.conftest import LONG_CONTEXT
from tests.server.live import eventually, live_server

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.api import Engine
    from tests.server.live import LiveServer

HELLO = [{"role": "user", "content": "Hi"}]


def error_of(reply: httpx.Response, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert isinstance(body["error"]["message"], str)
    error: dict[str, Any] = body["error"]
    return error


def post(server: LiveServer, content: bytes | dict[str, Any], **headers: str) -> httpx.Response:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return httpx.post(f"{server.url}/v1/chat/completions", content=raw, headers=headers)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[]", "must be a JSON object"),
        (b'{"temperature": NaN}', "NaN"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
    ],
)
def test_a_body_that_is_not_a_json_object(server: LiveServer, content: bytes, says: str) -> None:
    error = error_of(post(server, content), 400)
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_field_that_is_refused(server: LiveServer) -> None:
    error = error_of(post(server, {"model": server.model, "messages": HELLO, "frobnicate": 1}), 400)
    assert (error["param"], error["code"]) == ("frobnicate", "unknown_parameter")
    assert error["type"] == "invalid_request_error"


def test_half_a_surrogate_pair_in_a_message_and_in_a_name(server: LiveServer) -> None:
    body = {"model": server.model, "messages": [{"role": "user", "content": "\ud800"}]}
    assert error_of(post(server, body), 400)["param"] == "messages[0].content"
    error_of(post(server, {"model": server.model, "messages": HELLO, "\udc80": 1}), 400)


def test_half_a_surrogate_pair_in_a_key_that_is_ignored(server: LiveServer) -> None:
    message = {"role": "user", "content": "Hi", "\ud800": 1}
    reply = post(server, {"model": server.model, "messages": [message], "max_tokens": 1})
    assert reply.status_code == 200
    assert reply.headers["x-pennyweight-ignored"] == "messages[].%3F"


def test_a_number_of_400_digits(server: LiveServer) -> None:
    body = {"model": server.model, "messages": HELLO, "temperature": 10**400}
    assert error_of(post(server, body), 400)["param"] == "temperature"


def exchange(server: LiveServer, sent: bytes) -> httpx.Response:
    """What the server answers to these bytes before it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    pairs = [tuple(header.split(": ", 1)) for header in headers]
    return httpx.Response(int(status.split()[1]), headers=pairs, content=body)  # type: ignore[arg-type]


def test_bytes_that_are_not_http(server: LiveServer) -> None:
    for sent in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"):
        error = error_of(exchange(server, sent), 400)
        assert error["type"] == "invalid_request_error"
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_body_that_stops_being_http(server: LiveServer) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    error_of(exchange(server, head + b"not a length\r\n"), 400)


@pytest.mark.parametrize("stream", [False, True])
def test_the_official_client_raises_the_right_classes(
    client: openai.OpenAI, server: LiveServer, stream: bool
) -> None:
    create: Any = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-none", messages=HELLO, stream=stream)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert server.model in missing.value.message
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model=server.model, messages=HELLO, temperature=3, stream=stream)
    assert wrong.value.param == "temperature"
    assert wrong.value.request_id is not None


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context(client: openai.OpenAI, server: LiveServer, stream: bool) -> None:
    messages: Any = [{"role": "user", "content": "z" * LONG_CONTEXT}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=server.model, messages=messages, stream=stream)
    assert caught.value.code == "context_length_exceeded"
    assert str(LONG_CONTEXT) in caught.value.message


def test_a_token_the_model_does_not_have(client: openai.OpenAI, server: LiveServer) -> None:
    hello: Any = HELLO
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=server.model, messages=hello, logit_bias={"999999": 1})
    assert caught.value.param == "logit_bias"


def test_paths_and_methods_that_do_not_exist(server: LiveServer) -> None:
    assert error_of(httpx.get(f"{server.url}/v1/frobnicate"), 404)["code"] == "unknown_url"
    assert error_of(httpx.get(f"{server.url}/v1/models/"), 404)["type"] == "invalid_request_error"
    reply = httpx.get(f"{server.url}/v1/completions")
    assert error_of(reply, 405)["code"] == "method_not_supported"
    assert reply.headers["allow"] == "POST"


def test_a_body_beyond_the_limit(engine: Engine) -> None:
    with live_server(engine, max_body_bytes=1000) as server:
        body = {"model": server.model, "messages": [{"role": "user", "content": "z" * 1000}]}
        assert error_of(post(server, body), 413)["code"] == "body_too_large"
        # Without a length in front, the limit counts what arrives.
        chunks = (b" " * 100 for _ in range(20))
        reply = httpx.post(f"{server.url}/v1/chat/completions", content=chunks)
        assert error_of(reply, 413)["code"] == "body_too_large"


def test_what_nobody_expected_is_a_500_that_is_not_worth_repeating(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(RequestId)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of ours")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/broken")

    reply = asyncio.run(ask())
    error = error_of(reply, 500)
    assert error["type"] == "server_error"
    assert "secret" not in reply.text
    assert reply.headers["x-should-retry"] == "false"
    assert reply.headers["x-request-id"] in caplog.text
    assert "a secret of ours" in caplog.text


def test_too_much_work_is_worth_trying_again() -> None:
    reply = error_response(OverloadedError("1024 requests are queued"))
    assert reply.status_code == 503
    assert (reply.headers["x-should-retry"], reply.headers["retry-after"]) == ("true", "1")
    assert json.loads(bytes(reply.body))["error"]["code"] == "overloaded"


def test_an_engine_that_has_stopped_is_not_worth_trying_again() -> None:
    reply = error_response(UnavailableError("The engine is closed"))
    assert (reply.status_code, reply.headers["x-should-retry"]) == (503, "false")
    assert "retry-after" not in reply.headers


def test_a_client_that_leaves_before_its_request_is_whole(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
        connection.sendall(head.encode())
    for _ in range(3):
        assert httpx.get(f"{server.url}/health").status_code == 200
    assert "ERROR" not in {record.levelname for record in caplog.records}


def test_an_engine_that_ends_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    from pennyweight.api import Engine
    from tests.models.tiny import write_tiny_llama

    path = write_tiny_llama(tmp_path / "tiny.gguf", context_length=LONG_CONTEXT)
    with Engine.open(path, parallel=1, threads=1) as engine, live_server(engine) as server:
        hello: Any = HELLO
        with server.client() as client:
            stream = client.chat.completions.create(
                model=server.model, messages=hello, stream=True, extra_body={"ignore_eos": True}
            )
            chunks = iter(stream)
            next(chunks)
            eventually(lambda: engine.stats().generated_tokens > 0)
            engine.close()
            with pytest.raises(openai.APIError, match="before it was complete"):
                list(chunks)
            with pytest.raises(openai.InternalServerError):
                client.chat.completions.create(model=server.model, messages=hello)
