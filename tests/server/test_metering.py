"""One usage row for every request, whatever ends it, with the tokens that the client was told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.core import Usage
from pennyweight.cost.prices import Prices
from tests.server.issuing import new_key
from tests.server.live import LiveServer, eventually, live_server
from tests.server.test_answers_disconnect import send
from tests.server.usage_reading import row_of, usage_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine
    from pennyweight.store.usage import UsageRow

SAY_HI = [{"role": "user", "content": "Hi there, how are you today?"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAY_HI, "max_tokens": 5, "n": 2},
    "/v1/completions": {"prompt": ["Once", "upon a time"], "max_tokens": 4},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 16},
}


def post(
    server: LiveServer, path: str, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    body = {"model": "gpt-4o-mini", **fields}
    return httpx.post(server.url + path, json=body, headers=headers, timeout=60)


def told(usage: dict[str, Any]) -> Usage:
    """A body's usage, of chat or of responses."""
    prompt, completion = ("prompt", "completion") if "prompt_tokens" in usage else ("input", "output")
    return Usage(
        prompt_tokens=usage[f"{prompt}_tokens"],
        completion_tokens=usage[f"{completion}_tokens"],
        cached_tokens=usage[f"{prompt}_tokens_details"]["cached_tokens"],
    )


def counted(row: UsageRow) -> Usage:
    return Usage(
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
    )


@pytest.mark.parametrize("path", ASKED)
def test_an_answer(server: LiveServer, path: str) -> None:
    reply = post(server, path, **ASKED[path])
    usage = told(reply.json()["usage"])
    row = row_of(server, reply.headers["x-request-id"])
    assert counted(row) == usage
    assert (row.endpoint, row.kind, row.outcome, row.status) == (path, "completions", "completed", 200)
    assert (row.project_id, row.key_id, row.batch) == ("default", None, False)
    assert (row.model_asked, row.model) == ("gpt-4o-mini", server.model)
    assert row.price == Prices().price(model=server.model, kind="completions", at=row.ended_at).of(usage)
    assert row.cpu_us > 0
    assert row.queue_ms is not None
    assert row.ttft_ms is not None
    assert row.queue_ms <= row.ttft_ms <= row.total_ms


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_a_stream(server: LiveServer, path: str) -> None:
    reply = post(server, path, **ASKED[path], stream=True, stream_options={"include_usage": True})
    last = json.loads(reply.text.split("\n\n")[-3].removeprefix("data: "))
    row = row_of(server, reply.headers["x-request-id"])
    assert counted(row) == told(last["usage"])
    assert row.outcome == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
def test_a_client_that_leaves_pays_for_what_was_computed(server: LiveServer, path: str, stream: bool) -> None:
    before = len(usage_rows(server))
    generated = server.engine.stats().generated_tokens
    connection = send(server, path, stream=stream)
    eventually(lambda: server.engine.stats().generated_tokens > generated)
    if stream:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    connection.close()
    eventually(lambda: len(usage_rows(server)) > before)
    row = usage_rows(server)[-1]
    assert (row.outcome, row.status) == ("left", 200 if stream else 499)
    assert row.prompt_tokens > 0
    assert row.cpu_us > 0
    assert row.price > 0


def test_a_client_that_leaves_pays_less_for_what_was_found(server: LiveServer) -> None:
    """And its row tells when it waited, as the row of any other."""
    body = {"model": server.model, "prompt": "long ago " * 60, "stream": True}
    body |= {"max_tokens": 30_000, "ignore_eos": True}  # still being written when the client leaves
    assert post(server, "/v1/completions", prompt=body["prompt"], max_tokens=1).status_code == 200
    with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60) as reply:
        assert next(reply.iter_lines()).startswith("data: {")
    row = row_of(server, reply.headers["x-request-id"])
    assert (row.outcome, row.status) == ("left", 200)
    assert 0 < row.cached_tokens < row.prompt_tokens
    assert row.price == Prices().price(model=server.model, kind="completions", at=row.ended_at).of(
        counted(row)
    )
    assert row.queue_ms is not None
    assert row.ttft_ms is not None


@pytest.mark.parametrize(
    ("fields", "status", "model"),
    [
        ({"messages": SAY_HI, "temperature": 9}, 400, None),
        ({"messages": SAY_HI, "model": "nobody's\x00"}, 404, None),
        ({"messages": [{"role": "user", "content": "long " * 50_000}]}, 400, "gpt-4o-mini"),
    ],
)
def test_what_is_refused_is_counted_without_tokens(
    server: LiveServer, fields: dict[str, Any], status: int, model: str | None
) -> None:
    reply = post(server, "/v1/chat/completions", **fields)
    assert reply.status_code == status
    row = row_of(server, reply.headers["x-request-id"])
    assert (row.outcome, row.status, row.model_asked) == ("refused", status, model)
    assert (row.prompt_tokens, row.completion_tokens, row.price) == (0, 0, 0)


def test_what_is_no_json_is_counted(server: LiveServer) -> None:
    reply = httpx.post(f"{server.url}/v1/embeddings", content=b"{")
    row = row_of(server, reply.headers["x-request-id"])
    assert (row.kind, row.outcome, row.status) == ("embeddings", "refused", 400)


def test_what_asks_no_model_is_not_usage(server: LiveServer) -> None:
    before = len(usage_rows(server))
    assert httpx.get(f"{server.url}/v1/models").status_code == 200
    assert httpx.get(f"{server.url}/v1/chat/completions").status_code == 200
    assert post(server, "/v1/responses/input_tokens", input="Hi").status_code == 200
    assert len(usage_rows(server)) == before


@pytest.fixture
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


def test_limits_and_strangers(keyed: LiveServer) -> None:
    issued = new_key(keyed, requests_per_minute=1)
    key = {"authorization": f"Bearer {issued.secret.text}"}
    asked = {"messages": SAY_HI, "max_tokens": 2}
    replies = [post(keyed, "/v1/chat/completions", key, **asked) for _ in range(2)]
    stranger = post(keyed, "/v1/chat/completions", **asked)
    assert [reply.status_code for reply in (*replies, stranger)] == [200, 429, 401]
    eventually(lambda: len(usage_rows(keyed)) == 2)
    assert [(row.outcome, row.status) for row in usage_rows(keyed)] == [("completed", 200), ("limited", 429)]
    assert {row.key_id for row in usage_rows(keyed)} == {issued.key.id}


def test_an_answer_that_is_repeated_is_not_used_again(keyed: LiveServer) -> None:
    once = {"idempotency-key": "once"}
    replies = [post(keyed, "/v1/completions", once, prompt="Hi", max_tokens=2) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    eventually(lambda: len(usage_rows(keyed)) == 1)


def test_rows_that_wait_are_counted(server: LiveServer) -> None:
    usage_rows(server)
    assert "pennyweight_usage_rows_waiting 0.0" in httpx.get(f"{server.url}/metrics").text


def test_own_prices_hold(engine: Engine) -> None:
    with live_server(engine, prices=[{"input": 1, "output": 2}]) as server:
        reply = post(server, "/v1/completions", prompt="Hi", max_tokens=3)
        usage = reply.json()["usage"]
        row = row_of(server, reply.headers["x-request-id"])
        assert row.price == 1_000_000 * (usage["prompt_tokens"] + 2 * usage["completion_tokens"])


def test_usage_is_whole_when_the_server_has_stopped(engine: Engine, tmp_path: Any) -> None:
    with live_server(engine, data=str(tmp_path)) as server:
        for _ in range(3):
            assert post(server, "/v1/completions", prompt="Hi", max_tokens=1).status_code == 200
    with live_server(engine, data=str(tmp_path)) as server:
        assert len(usage_rows(server)) == 3
