"""`usage: {"include": true}`: what an answer cost stands beside its tokens, and is what its row says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.cost.prices import PICODOLLARS
from tests.server.usage_reading import row_of

if TYPE_CHECKING:
    import openai

    from tests.server.live import LiveServer

ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "n": 2},
    "/v1/completions": {"prompt": ["Hi", "there"], "max_tokens": 5},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 16},
}


def post(server: LiveServer, path: str, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + path, json={"model": server.model, **ASKED[path], **fields}, timeout=60)


def last_usage(reply: httpx.Response) -> dict[str, Any]:
    """The usage in the last event that has any."""
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    told = [event.get("response", event).get("usage") for event in events]
    usage: dict[str, Any] = [usage for usage in told if usage][-1]
    return usage


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ASKED)
def test_the_cost_is_that_of_the_row(server: LiveServer, path: str, stream: bool) -> None:
    reply = post(server, path, usage={"include": True}, stream=stream)
    usage = last_usage(reply) if stream else reply.json()["usage"]
    assert usage["cost"] == row_of(server, reply.headers["x-request-id"]).price / PICODOLLARS
    assert usage["cost"] > 0


@pytest.mark.parametrize("usage", [None, {}, {"include": None}, {"include": False}])
def test_it_is_not_told_unasked(server: LiveServer, usage: dict[str, Any] | None) -> None:
    assert "cost" not in post(server, "/v1/completions", usage=usage).json()["usage"]


def test_the_official_client_passes_it_on(client: openai.OpenAI, server: LiveServer) -> None:
    answer = client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Hi"}],
        max_tokens=2,
        extra_body={"usage": {"include": True}},
    )
    assert answer.usage is not None
    assert answer.usage.model_extra is not None
    assert answer.usage.model_extra["cost"] > 0


@pytest.mark.parametrize(
    ("usage", "param"),
    [(True, "usage"), ({"include": 1}, "usage.include"), ({"price": True}, "usage.price")],
)
def test_what_is_wrong_is_named(server: LiveServer, usage: Any, param: str) -> None:
    reply = post(server, "/v1/responses", usage=usage)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
