"""Rates and budgets over HTTP: charged first, settled once, whatever kind of answer and however it ends."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.core import Allowance, Usage
from pennyweight.cost.prices import PICODOLLARS, Prices
from pennyweight.errors import StorageFullError
from pennyweight.store.generations import Generations
from pennyweight.store.spending import Spending
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.server.issuing import ORGANIZATION, new_key, new_project
from tests.server.live import LiveServer, eventually, live_server
from tests.server.usage_reading import row_of, usage_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

HI: Any = [{"role": "user", "content": "Hi"}]
DOLLAR = PICODOLLARS


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        new_key(server)
        yield server


def spent(server: LiveServer, subject: str) -> int:
    """Picodollars of all times, budgets being in total."""
    [amount] = server.services.database.read_now(
        lambda link: Spending().of(link, [(subject, "total")])
    ).values()
    return amount


def price(server: LiveServer, usage: Usage) -> int:
    return Prices().price(model=server.model, kind="completions", at=0).of(usage)


def ask(server: LiveServer, secret: str, path: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{server.url}/v1/{path}", json=body, headers=headers, timeout=60)


def bodies(model: str) -> dict[str, dict[str, Any]]:
    return {
        "chat/completions": {"model": model, "messages": HI, "max_tokens": 5},
        "completions": {"model": model, "prompt": ["one", "two"], "max_tokens": 5},
        "responses": {"model": model, "input": "Hi", "max_output_tokens": 16},
    }


def usage_of(body: dict[str, Any]) -> Usage:
    usage = body["usage"]
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return Usage(
        prompt_tokens=usage.get("prompt_tokens", usage.get("input_tokens")),
        completion_tokens=usage.get("completion_tokens", usage.get("output_tokens")),
        cached_tokens=details.get("cached_tokens", 0),
    )


def test_without_limits_there_are_no_headers(keyed: LiveServer) -> None:
    secret = new_key(keyed).secret.text
    reply = ask(keyed, secret, "chat/completions", bodies(keyed.model)["chat/completions"])
    assert reply.status_code == 200
    assert [name for name in reply.headers if name.startswith("x-ratelimit")] == []


def test_requests_per_minute(keyed: LiveServer) -> None:
    secret = new_key(keyed, requests_per_minute=2).secret.text
    body = bodies(keyed.model)["chat/completions"]
    first, second, third = (ask(keyed, secret, "chat/completions", body) for _ in range(3))
    assert [reply.status_code for reply in (first, second, third)] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second, third)] == [*"100"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert "x-ratelimit-limit-tokens" not in first.headers
    error = third.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "requests")
    wait_ms = int(third.headers["retry-after-ms"])
    assert 0 < wait_ms <= 30_000
    assert int(third.headers["retry-after"]) == -(-wait_ms // 1000)


def test_what_is_wrong_is_not_counted(keyed: LiveServer) -> None:
    secret = new_key(keyed, requests_per_minute=1).secret.text
    assert ask(keyed, secret, "chat/completions", {"model": keyed.model}).status_code == 400
    assert ask(keyed, secret, "chat/completions", {"model": "nobody", "messages": HI}).status_code == 404
    body = bodies(keyed.model)["chat/completions"]
    assert ask(keyed, secret, "chat/completions", body).status_code == 200


def test_the_official_client_meets_a_limit(keyed: LiveServer) -> None:
    secret = new_key(keyed, requests_per_minute=1).secret.text
    with keyed.client(secret) as client:
        client.chat.completions.create(model=keyed.model, messages=HI, max_tokens=2)
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as caught:
                client.chat.completions.create(model=keyed.model, messages=HI, max_tokens=2, stream=stream)
            assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses"])
def test_tokens_are_settled_by_what_was_used(keyed: LiveServer, path: str, stream: bool) -> None:
    """Asked for 4000 each time, 10 can follow each other in a limit of 5000."""
    secret = new_key(keyed, tokens_per_minute=5000).secret.text
    limit = "max_output_tokens" if path == "responses" else "max_tokens"
    body = {**bodies(keyed.model)[path], limit: 2000, "stream": stream}
    stop = {"stop": ["e", "a", "i", "o", "t", "n", " "]} if path != "responses" else {}
    if path == "responses":
        body[limit] = 300
    for _ in range(3):
        reply = ask(keyed, secret, path, {**body, **stop})
        assert reply.status_code == 200, reply.text
        assert reply.headers["x-ratelimit-limit-tokens"] == "5000"


def test_a_request_larger_than_the_limit_is_never_right(keyed: LiveServer) -> None:
    secret = new_key(keyed, tokens_per_minute=100).secret.text
    body = {**bodies(keyed.model)["chat/completions"], "max_tokens": 200}
    reply = ask(keyed, secret, "chat/completions", body)
    assert reply.status_code == 429
    assert reply.headers["x-should-retry"] == "false"
    assert "larger than the limit" in reply.json()["error"]["message"]
    short = {**body, "max_tokens": 5}
    assert ask(keyed, secret, "chat/completions", short).status_code == 200


def test_an_answer_without_a_limit_fits_a_small_allowance(keyed: LiveServer) -> None:
    secret = new_key(keyed, tokens_per_minute=150).secret.text
    body = {"model": keyed.model, "messages": HI, "stop": ["e", "a", "i", "o", "t", " "]}
    assert ask(keyed, secret, "chat/completions", body).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses"])
def test_a_budget_is_charged_the_price_once(keyed: LiveServer, path: str, stream: bool) -> None:
    issued = new_key(keyed, budget=DOLLAR, budget_period="total")
    body = bodies(keyed.model)[path]
    whole = ask(keyed, issued.secret.text, path, body)
    assert whole.status_code == 200
    first = price(keyed, usage_of(whole.json()))
    eventually(lambda: spent(keyed, issued.key.id) == first)
    if stream:
        extra = {} if path == "responses" else {"stream_options": {"include_usage": True}}
        reply = ask(keyed, issued.secret.text, path, {**body, "stream": True, **extra})
        assert reply.status_code == 200
        eventually(lambda: spent(keyed, issued.key.id) > first)
        assert spent(keyed, issued.key.id) <= 2 * first, "the second time the prompt is cached"


def test_an_answer_that_could_not_be_kept_costs_nothing(
    keyed: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written whole, and then the disk was full: a failure of ours."""
    issued = new_key(keyed, budget=DOLLAR, budget_period="total")
    body = {**bodies(keyed.model)["chat/completions"], "store": True}

    def full(*_: Any, **__: Any) -> None:
        raise StorageFullError("It cannot be stored (disk full).")

    with monkeypatch.context() as disk:
        disk.setattr(Generations, "keep", full)
        reply = ask(keyed, issued.secret.text, "chat/completions", body)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (507, "false")
    row = row_of(keyed, reply.headers["x-request-id"])
    assert (row.outcome, row.price) == ("failed", 0)
    assert row.completion_tokens > 0
    kept = ask(keyed, issued.secret.text, "chat/completions", body)
    eventually(lambda: spent(keyed, issued.key.id) == price(keyed, usage_of(kept.json())))


def test_a_client_that_leaves_pays_for_what_was_written(keyed: LiveServer) -> None:
    issued = new_key(keyed, budget=DOLLAR, budget_period="total", tokens_per_minute=60_000)
    body = {"model": keyed.model, "messages": HI, "stream": True, "ignore_eos": True, "max_tokens": 20_000}
    headers = {"authorization": f"Bearer {issued.secret.text}"}
    with httpx.stream(
        "POST", f"{keyed.url}/v1/chat/completions", json=body, headers=headers, timeout=60
    ) as reply:
        lines = reply.iter_lines()
        for _ in range(20):
            next(lines)
    eventually(lambda: spent(keyed, issued.key.id) > 0)
    most = price(keyed, Usage(completion_tokens=20_000))
    assert spent(keyed, issued.key.id) < most / 2
    again = ask(keyed, issued.secret.text, "chat/completions", {**body, "stream": False, "max_tokens": 5})
    assert int(again.headers["x-ratelimit-remaining-tokens"]) > 30_000, "what was set aside came back"


def test_an_exhausted_budget_is_told_as_one(keyed: LiveServer) -> None:
    one = new_key(keyed, budget=DOLLAR // 100_000, budget_period="total")
    body = {**bodies(keyed.model)["chat/completions"], "max_tokens": 8}
    codes = [ask(keyed, one.secret.text, "chat/completions", body).status_code for _ in range(8)]
    assert codes[0] == 200
    assert codes[-1] == 429
    assert codes == sorted(codes)
    eventually(lambda: spent(keyed, one.key.id) > 0)
    assert spent(keyed, one.key.id) <= DOLLAR // 100_000, "never more than there was"
    with keyed.client(one.secret.text) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=keyed.model, messages=HI, max_tokens=2000)
    assert caught.value.code == "insufficient_quota"
    assert caught.value.type == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_batch_is_no_way_around_a_budget(keyed: LiveServer) -> None:
    issued = new_key(keyed, budget=1)  # a picodollar
    client = keyed.client(api_key=issued.secret.text)
    raw = jsonl(*(chat_line(number, model=keyed.model) for number in range(3)))
    file = client.files.create(file=("in.jsonl", raw), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    done = client.batches.retrieve(batch.id)
    assert done.output_file_id is None
    lines = client.files.content(done.error_file_id or "").read().splitlines()
    answers = [json.loads(line)["response"] for line in lines]
    codes = [(each["status_code"], each["body"]["error"]["code"]) for each in answers]
    assert codes == [(429, "insufficient_quota")] * 3


def test_a_batch_is_charged_half_the_price_once(keyed: LiveServer) -> None:
    issued = new_key(keyed, budget=DOLLAR, budget_period="total")
    client = keyed.client(api_key=issued.secret.text)
    raw = jsonl(*(chat_line(number, model=keyed.model) for number in range(3)))
    file = client.files.create(file=("in.jsonl", raw), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    lines = client.files.content(client.batches.retrieve(batch.id).output_file_id or "").read().splitlines()
    used = [usage_of(json.loads(line)["response"]["body"]) for line in lines]
    prices = Prices().price(model=keyed.model, kind="completions", at=0)
    wanted = sum(prices.of(usage, batch=True) for usage in used)
    eventually(lambda: spent(keyed, issued.key.id) == wanted)


def test_batches_need_the_right_to_ask_models(keyed: LiveServer) -> None:
    issued = new_key(keyed, scopes=frozenset({"api.files.write", "api.batches.write"}))
    with pytest.raises(openai.PermissionDeniedError, match=r"model\.request"):
        keyed.client(api_key=issued.secret.text).batches.create(
            input_file_id="file-x", endpoint=CHAT, completion_window="24h"
        )


def test_a_projects_budget_holds_for_all_its_keys(keyed: LiveServer) -> None:
    project = new_project(keyed)
    secrets = [new_key(keyed, project).secret.text for _ in range(2)]
    body = bodies(keyed.model)["chat/completions"]
    assert ask(keyed, secrets[0], "chat/completions", body).status_code == 200
    nothing = Allowance(subject=project, budget=0)
    put = ORGANIZATION.allowances.put
    keyed.services.database.write_now(lambda link: put(link, nothing))
    for secret in secrets:
        reply = ask(keyed, secret, "chat/completions", body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (429, "insufficient_quota")
    keyed.services.database.write_now(lambda link: put(link, replace(nothing, budget=DOLLAR)))
    assert ask(keyed, secrets[1], "chat/completions", body).status_code == 200, "at once"


def test_many_at_once_spend_no_more_than_there_is(keyed: LiveServer) -> None:
    issued = new_key(keyed, budget=DOLLAR // 20_000, budget_period="total")
    body = {**bodies(keyed.model)["chat/completions"], "max_tokens": 20, "ignore_eos": True}

    def one(_: int) -> int:
        return ask(keyed, issued.secret.text, "chat/completions", body).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(one, range(48)))
    assert set(codes) == {200, 429}
    price = sum(row.price for row in usage_rows(keyed) if row.key_id == issued.key.id)
    eventually(lambda: spent(keyed, issued.key.id) == price)
    assert 0 < price <= DOLLAR // 20_000
