"""Services that refuse, break, lie or never end: clients get a clear error, nobody gets the key."""

from __future__ import annotations

import json
import re
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.upstreams import Upstream
from tests.server.hostile import head, hostile, stream
from tests.server.live import LiveServer, eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

KEY = "sk-very-secret"
HI = [{"role": "user", "content": "Hi"}]


def delta(text: str, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, **choice}]}


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


@contextmanager
def behind(url: str, engine: Engine, *, timeout_s: float = 30.0) -> Iterator[LiveServer]:
    """A server whose model `far` is the service at `url`."""
    far = Upstream(name="far", url=url, model="m", key_env="FAR_KEY", timeout_s=timeout_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAR_KEY", KEY)
        with live_server(engine, upstream={"far": far}) as server:
            yield server


def ask(server: LiveServer, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    asked = {"input": "Hi"} if path.endswith("responses") else {"messages": HI}
    reply = httpx.post(f"{server.url}{path}", json={"model": "far", **asked, **fields}, timeout=60)
    assert KEY not in reply.text
    assert KEY not in str(reply.headers)
    return reply


def failed(engine: Engine, response: bytes) -> httpx.Response:
    with hostile(response) as service, behind(service.url, engine) as server:
        return ask(server)


def error_of(reply: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def problem(message: str, **more: Any) -> bytes:
    error = {"message": message, "type": "x", "param": None, "code": None, **more}
    return json.dumps({"error": error}).encode()


def test_what_is_sent(engine: Engine) -> None:
    with hostile(stream(delta("Yes"), END, USAGE)) as service, behind(service.url, engine) as server:
        reply = ask(server, temperature=0.5)
        top = service.requests[0].partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
        assert top[0] == "post /v1/chat/completions http/1.1"
        assert f"authorization: bearer {KEY}" in top
        assert "accept-encoding: identity" in top
        assert (service.body["model"], service.body["temperature"]) == ("m", 0.5)
        assert reply.json()["choices"][0]["message"]["content"] == "Yes"
        assert reply.json()["usage"]["total_tokens"] == 5
        ask(server)
        assert len(service.requests) == 2  # over a second connection: it keeps none


@pytest.mark.parametrize(
    ("status", "seen", "code", "retry"),
    [
        (401, 502, "upstream_failed", "false"),
        (403, 502, "upstream_failed", "false"),
        (404, 502, "upstream_failed", "false"),
        (301, 502, "upstream_failed", "false"),
        (418, 502, "upstream_failed", "false"),
        (429, 429, "rate_limit_exceeded", "true"),
        (500, 502, "upstream_failed", "false"),
        (503, 503, "overloaded", "true"),
        (504, 504, "upstream_timeout", "false"),
    ],
)
def test_a_status_that_is_no_answer(engine: Engine, status: int, seen: int, code: str, retry: str) -> None:
    body = problem(f"Incorrect API key provided: {KEY}")
    reply = failed(engine, head(status, location="http://127.0.0.1:1/") + body)
    assert (reply.status_code, error_of(reply)["code"]) == (seen, code)
    assert "behind 'far'" in error_of(reply)["message"]
    assert reply.headers["x-should-retry"] == retry


def test_what_is_wrong_with_the_request_is_passed_on(engine: Engine) -> None:
    body = problem(f"'tools' is\nwrong {KEY} " + "x" * 9999, param="tools", code="bad_tools")
    reply = failed(engine, head(400) + body)
    error = error_of(reply)
    assert reply.status_code == 400
    assert (error["param"], error["code"], error["type"]) == ("tools", "bad_tools", "invalid_request_error")
    assert "'tools' is wrong [key]" in error["message"]
    assert len(error["message"]) < 700


@pytest.mark.parametrize(
    ("said", "here", "in_responses"),
    [
        ("messages[2].content", "messages[2].content", "input"),
        ("max_completion_tokens", "max_completion_tokens", "max_output_tokens"),
        ("max_tokens", "max_tokens", "max_output_tokens"),
        ("response_format", "response_format", "text.format"),
        (
            "response_format.json_schema.schema.a",
            "response_format.json_schema.schema.a",
            "text.format.schema.a",
        ),
        ("tools[0].function.parameters", "tools[1].function.parameters", "tools[1].parameters"),
        ("tools[0].type", "tools[1].type", "tools[1].type"),
        ("tools[7].function", "tools[7].function", "tools[7].function"),
        ("tool_choice.function.name", "tool_choice.function.name", "tool_choice.name"),
        ("temperature", "temperature", "temperature"),
    ],
)
def test_a_field_is_named_as_the_client_wrote_it(
    engine: Engine, said: str, here: str, in_responses: str
) -> None:
    body = problem(f"Invalid '{said}': too much of it.", param=said)
    function = {"name": "f", "parameters": {"type": "object"}}
    hosted = {"type": "web_search"}
    with hostile(head(400) + body) as service, behind(service.url, engine) as server:
        chat = error_of(ask(server, tools=[hosted, {"type": "function", "function": function}]))
        flat = error_of(ask(server, "/v1/responses", tools=[hosted, {"type": "function", **function}]))
    assert (chat["param"], flat["param"]) == (here, in_responses)
    assert f"'{here}'" in chat["message"]
    assert f"'{in_responses}'" in flat["message"]


def test_names_of_what_a_service_dropped_cannot_break_a_header(engine: Engine) -> None:
    told = 'a%0D%0Aset-cookie: x,b"<>, c%FF, ' + ", ".join(f"field_{number}" for number in range(900))
    answer = stream(delta("Yes"), END, USAGE)
    with_header = answer.replace(
        b"connection: close", b"connection: close\r\nx-pennyweight-ignored: " + told.encode()
    )
    with hostile(with_header) as service, behind(service.url, engine) as server:
        reply = ask(server)
    assert reply.status_code == 200
    assert "set-cookie" not in reply.headers
    names = reply.headers["x-pennyweight-ignored"]
    assert names.startswith("a%0D%0Aset-cookie%3A x, b%22%3C%3E, c%EF%BF%BD, field_0, ")
    assert len(names) < 2100
    assert names.endswith(", ...")


NO_ERRORS = [b"", b"<html>", b"[]", b'{"error": 5}', b"\xff", b"[" * 60_000, b"x" * 2**22]


@pytest.mark.parametrize("body", NO_ERRORS)
def test_an_error_nobody_can_read(engine: Engine, body: bytes) -> None:
    reply = failed(engine, head(400) + body)
    assert reply.status_code == 400
    assert "does not say why" in error_of(reply)["message"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, "7"),
        ({"retry_after_ms": "2500"}, "3"),
        ({"retry_after": "soon"}, "1"),
        ({"retry_after": "-5"}, "1"),
        ({"retry_after": "nan"}, "1"),
        ({"retry_after": "1e300"}, "86400"),
        ({}, "1"),
    ],
)
def test_when_to_come_back_is_passed_on(engine: Engine, headers: dict[str, str], seconds: str) -> None:
    assert failed(engine, head(429, **headers) + problem("slow")).headers["retry-after"] == seconds


def test_a_date_to_come_back(engine: Engine) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    assert 3000 < int(failed(engine, head(503, retry_after=date)).headers["retry-after"]) <= 3600


def test_a_quota_that_is_used_up_is_not_asked_again(engine: Engine) -> None:
    reply = failed(engine, head(429, retry_after="1") + problem("pay", code="insufficient_quota"))
    assert (reply.status_code, error_of(reply)["code"]) == (429, "insufficient_quota")
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers


def test_nobody_is_there(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with behind(f"http://127.0.0.1:{port}/v1", engine) as server:
        reply = ask(server)
    assert (reply.status_code, error_of(reply)["code"]) == (503, "upstream_unreachable")
    assert str(port) not in reply.text


def test_a_service_that_never_answers(engine: Engine) -> None:
    with hostile(b"", stays=True) as service, behind(service.url, engine, timeout_s=0.2) as server:
        reply = ask(server)
        assert (reply.status_code, error_of(reply)["code"]) == (504, "upstream_timeout")
        assert service.hung_up.wait(30)


def test_a_service_that_falls_silent(engine: Engine) -> None:
    begun = stream(delta("Half"), done=False)
    with hostile(begun, stays=True) as service, behind(service.url, engine, timeout_s=0.2) as server:
        assert error_of(ask(server))["code"] == "upstream_timeout"
        lines = ask(server, stream=True).text.split("\n\n")
        assert '"content":"Half"' in lines[1]
        assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "upstream_timeout"


COMPRESSED = head(200, content_type="text/event-stream", content_encoding="gzip") + b"\x1f\x8b"


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (b"SSH-2.0-no HTTP\r\n", "broke"),
        (b"", "broke"),
        (head(200) + b"{}", "no stream of events"),
        (COMPRESSED, "compressed"),
        (stream(), "ended before"),
        (stream(delta("x"), done=False), "ended before"),
        (stream(delta("x")), "ended before"),
        (stream(b"{nonsense"), "not valid JSON"),
        (stream(b"[" * 200_000), "not valid JSON"),
        (stream(b"x" * 2**21), "more than 1048576 bytes"),
        (
            stream(delta("x"), {"error": {"message": f"worker died {KEY}", "code": 500}}),
            r"worker died \[key\]",
        ),
        (stream({"error": "worker died"}), "worker died"),
        (stream({"choices": [{"index": 7, "delta": {}}]}), "index of a choice"),
        (stream(delta("x", finish_reason="alien")), "alien"),
        (stream(END, delta("more")), "after its end"),
        (head(200, content_type="text/event-stream", content_length="9999") + b"data: {}\n\n", "broke"),
    ],
)
def test_a_stream_that_is_none(engine: Engine, response: bytes, says: str) -> None:
    with hostile(response) as service, behind(service.url, engine) as server:
        whole, streamed = ask(server), ask(server, stream=True)
        typed = ask(server, "/v1/responses", stream=True)
        metrics = httpx.get(f"{server.url}/metrics").text
    assert whole.status_code == 502
    assert whole.headers["x-should-retry"] == "false"
    told = error_of(whole)["message"]
    assert "behind 'far'" in told
    assert re.search(says, told), told
    if streamed.status_code == 200:
        last = json.loads(streamed.text.split("\n\n")[-2].removeprefix("data: "))
        assert last["error"]["code"] == "upstream_failed"
        assert typed.text.rstrip("\n").rsplit("event: ", 1)[1].startswith("response.failed")
        assert "pennyweight_answers_broken_total 3.0" in metrics


def test_a_stream_that_ends_without_done_but_complete(engine: Engine) -> None:
    with hostile(stream(delta("Yes"), END, done=False)) as service, behind(service.url, engine) as server:
        assert ask(server).json()["choices"][0]["message"]["content"] == "Yes"


def test_a_client_that_goes_away_ends_it(engine: Engine) -> None:
    begun = stream(*(delta(str(number)) for number in range(3)), done=False)
    with hostile(begun, stays=True) as service, behind(service.url, engine) as server:
        body = {"model": "far", "messages": HI, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body) as reply:
            lines = reply.iter_lines()  # dropped, it would close the response
            next(lines)
            assert not service.hung_up.is_set()
        eventually(service.hung_up.is_set)


def test_a_refusal_and_a_filter(engine: Engine) -> None:
    refusal = {"choices": [{"index": 0, "delta": {"refusal": "I will not."}}]}
    cut = {"choices": [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]}
    with hostile(stream(refusal, cut, USAGE)) as service, behind(service.url, engine) as server:
        with server.client() as client:
            messages: Any = HI
            answer = client.chat.completions.create(model="far", messages=messages)
            assert (answer.choices[0].message.refusal, answer.choices[0].message.content) == (
                "I will not.",
                None,
            )
            assert answer.choices[0].finish_reason == "content_filter"
            with client.chat.completions.create(model="far", messages=messages, stream=True) as chunks:
                texts = [chunk.choices[0].delta.refusal for chunk in chunks]
            assert "I will not." in texts
            response = client.responses.create(model="far", input="Hi")
            message = response.output[0]
            assert message.type == "message"
            assert message.content[0].type == "refusal"
            assert response.incomplete_details is not None
            assert response.incomplete_details.reason == "content_filter"
            with client.responses.stream(model="far", input="Hi") as events:
                kinds = [event.type for event in events]
        assert "response.refusal.delta" in kinds
        assert "response.refusal.done" in kinds
        assert kinds[-1] == "response.incomplete"


def test_left_out_fields_are_named(engine: Engine) -> None:
    said = [*HI, {"role": "assistant", "content": "Yes", "reasoning_content": "Hm."}, *HI]
    with hostile(stream(delta("Yes"), END)) as service, behind(service.url, engine) as server:
        for streamed in (False, True):
            reply = ask(server, messages=said, stream=streamed)
            assert reply.headers["x-pennyweight-ignored"] == "messages[].reasoning_content"
