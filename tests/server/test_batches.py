"""Batches through the official client in strict mode, from create to delete, error paths included."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.server.routes import batches as routes
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.server.batching import chats, created, ended, lines_of, uploaded
from tests.server.live import eventually
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from tests.server.live import LiveServer


def test_from_create_to_delete(client: openai.OpenAI, server: LiveServer) -> None:
    lines = [*chats(server, 8), chat_line(8, model=server.model, nonsense=1)]
    made = created(client, jsonl(*lines), metadata={"who": "me"})
    assert made.status in ("validating", "in_progress", "finalizing", "completed")
    assert made.expires_at == made.created_at + 24 * 3600
    batch = ended(client, made)
    assert batch.status == "completed"
    assert (batch.endpoint, batch.model, batch.completion_window) == (CHAT, server.model, "24h")
    assert batch.metadata == {"who": "me"}
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (9, 8, 1)
    stamps = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert stamps == sorted(stamps, key=lambda at: at or 0)
    assert batch.failed_at is batch.cancelled_at is batch.expired_at is batch.cancelling_at is None
    output, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert [line["custom_id"] for line in output] == [f"r-{number}" for number in range(8)]
    assert [line["custom_id"] for line in errors] == ["r-8"]
    assert errors[0]["response"]["status_code"] == 400
    assert errors[0]["response"]["body"]["error"]["param"] == "nonsense"
    assert len({line["id"] for line in output} | {line["response"]["request_id"] for line in output}) == 16
    assert batch.usage is not None
    told = [line["response"]["body"]["usage"] for line in output]
    assert batch.usage.input_tokens == sum(usage["prompt_tokens"] for usage in told)
    assert batch.usage.output_tokens == sum(usage["completion_tokens"] for usage in told)
    written = client.files.retrieve(batch.output_file_id or "")
    assert (written.purpose, written.expires_at) == ("batch_output", None)
    assert batch.id in [item.id for item in client.batches.list()]
    for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
        client.files.delete(file_id or "")
    assert client.batches.retrieve(batch.id) == batch


def same(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what no two answers have in common."""
    return {
        k: v
        for k, v in body.items()
        if k not in ("id", "created", "created_at", "completed_at", "usage", "output")
    }


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hi"}], "logprobs": True, "n": 2, "seed": 3}),
        (CHAT, {"messages": "nonsense"}),
        (CHAT, {"messages": [{"role": "user", "content": "Hi"}], "logit_bias": {"999999": 1}}),
        ("/v1/completions", {"prompt": ["One", "Two"], "echo": True, "seed": 1, "max_tokens": 3}),
        ("/v1/completions", {"prompt": [[1, 2, 99999999]]}),
        ("/v1/responses", {"input": "Hi", "max_output_tokens": 16, "store": False}),
        ("/v1/responses", {"input": "Hi" * 100_000}),
    ],
)
def test_a_line_gets_what_the_route_answers(
    client: openai.OpenAI, server: LiveServer, url: str, fields: dict[str, Any]
) -> None:
    body = {"model": server.model, "temperature": 0, **fields}
    if url == CHAT:
        body["max_tokens"] = 5
    line = {"custom_id": "one", "method": "POST", "url": url, "body": body}
    batch = ended(client, created(client, jsonl(line), endpoint=url))
    (result,) = lines_of(client, batch.output_file_id or batch.error_file_id)
    direct = httpx.post(f"{server.url}{url}", json=body, timeout=60)
    assert result["response"]["status_code"] == direct.status_code
    assert same(result["response"]["body"]) == same(direct.json())


def test_what_was_dropped_of_a_line_is_told(client: openai.OpenAI, server: LiveServer) -> None:
    said = {"role": "user", "content": "Hi", "cache_control": 1, "\ud800é": 2}
    line = chat_line(0, model=server.model, messages=[said])
    batch = ended(client, created(client, jsonl(line, chat_line(1, model="gpt-4o-mini"))))
    first, second = (line["response"] for line in lines_of(client, batch.output_file_id))
    direct = httpx.post(f"{server.url}{CHAT}", content=json.dumps(line["body"]), timeout=60)
    assert ", ".join(first["ignored"]) == direct.headers["x-pennyweight-ignored"]
    assert first["ignored"] == ["messages[].cache_control", "messages[].%3F%C3%A9"]
    assert set(first) == {"status_code", "request_id", "ignored", "body"}
    assert set(second) == {"status_code", "request_id", "body"}


def test_usage_has_one_row_for_each_line(client: openai.OpenAI, server: LiveServer) -> None:
    batch = ended(client, created(client, jsonl(*chats(server, 5))))
    ids = {line["response"]["request_id"] for line in lines_of(client, batch.output_file_id)}
    rows = server.services.database.read_now(lambda c: kept_usage(c, "default"))
    mine = [row for row in rows if row.request_id in ids]
    assert len(mine) == 5
    assert all((row.batch, row.endpoint, row.outcome) == (True, CHAT, "completed") for row in mine)
    assert batch.usage is not None
    assert sum(row.prompt_tokens for row in mine) == batch.usage.input_tokens


def test_a_file_that_is_no_batch_fails_with_its_lines(client: openai.OpenAI, server: LiveServer) -> None:
    lines = chats(server, 3)
    batch = ended(client, created(client, jsonl(lines[0], "{", lines[1], lines[0])))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.output_file_id is batch.error_file_id is None
    assert batch.errors is not None
    assert [(e.line, e.code) for e in batch.errors.data or []] == [
        (2, "invalid_json_line"),
        (4, "duplicate_custom_id"),
    ]


def test_a_model_that_is_not_served(client: openai.OpenAI) -> None:
    batch = ended(client, created(client, jsonl(chat_line(0, model="gpt-17"))))
    assert batch.errors is not None
    assert [(error.line, error.code) for error in batch.errors.data or []] == [(1, "model_not_found")]


def test_cancelling_keeps_what_is_done(client: openai.OpenAI, server: LiveServer) -> None:
    batch = created(client, jsonl(*chats(server, 600, max_tokens=60)))

    def some_done() -> bool:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 3

    eventually(some_done)
    told = client.batches.cancel(batch.id)
    assert told.status in ("cancelling", "cancelled")
    assert client.batches.cancel(batch.id).cancelling_at == told.cancelling_at
    batch = ended(client, batch)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert batch.request_counts is not None
    done = lines_of(client, batch.output_file_id)
    assert 3 < len(done) == batch.request_counts.completed < 600
    assert len({line["custom_id"] for line in done}) == len(done)
    assert batch.error_file_id is None


def test_what_ended_cannot_be_cancelled(client: openai.OpenAI, server: LiveServer) -> None:
    batch = ended(client, created(client, jsonl(*chats(server, 1))))
    with pytest.raises(openai.BadRequestError, match="status 'completed'"):
        client.batches.cancel(batch.id)


def test_past_its_window_the_missing_lines_are_told(
    client: openai.OpenAI, server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WINDOW_S", 1)
    batch = created(client, jsonl(*chats(server, 600, max_tokens=200)))
    batch = ended(client, batch)
    assert batch.status == "expired"
    assert batch.expired_at is not None
    errors = lines_of(client, batch.error_file_id)
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert all(line["response"] is None for line in errors)
    output = lines_of(client, batch.output_file_id) if batch.output_file_id else []
    found = [line["custom_id"] for line in (*output, *errors)]
    assert sorted(found) == sorted(f"r-{number}" for number in range(600))
    assert [line["custom_id"] for line in errors] == sorted(
        (line["custom_id"] for line in errors), key=lambda name: int(name[2:])
    )
    assert batch.request_counts is not None
    assert batch.request_counts.failed == len(errors)


def test_the_input_may_be_deleted_once_the_batch_is_made(client: openai.OpenAI, server: LiveServer) -> None:
    batch = created(client, jsonl(*chats(server, 50, max_tokens=20)))
    client.files.delete(batch.input_file_id)
    assert ended(client, batch).status == "completed"


def test_files_it_writes_may_have_an_end(client: openai.OpenAI, server: LiveServer) -> None:
    expires: Any = {"anchor": "created_at", "seconds": 3600}
    batch = ended(client, created(client, jsonl(*chats(server, 1)), output_expires_after=expires))
    file = client.files.retrieve(batch.output_file_id or "")
    assert file.expires_at == file.created_at + 3600


def test_refusals(client: openai.OpenAI, server: LiveServer) -> None:
    file = uploaded(client, jsonl(*chats(server, 1)))
    other = client.files.create(file=("x", b"x"), purpose="user_data").id
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"input_file_id": "file-nowhere"}, "input_file_id"),
        ({"input_file_id": other}, "input_file_id"),
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"completion_window": "48h"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "x" * 513}}, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"extra_body": {"colour": 1}}, "colour"),
    ]
    for fields, param in wrong:
        given: dict[str, Any] = {
            "input_file_id": file,
            "endpoint": CHAT,
            "completion_window": "24h",
            **fields,
        }
        with pytest.raises(openai.BadRequestError) as caught:
            client.batches.create(**given)
        assert caught.value.param == param
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_nowhere")
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("batch_nowhere")


def test_pages(client: openai.OpenAI, server: LiveServer) -> None:
    made = [ended(client, created(client, jsonl(*chats(server, 1)))).id for _ in range(3)]
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert set(made) <= set(listed)
    assert len(listed) == len(set(listed))


def test_people_are_answered_while_a_batch_runs(client: openai.OpenAI, server: LiveServer) -> None:
    batch = created(client, jsonl(*chats(server, 400, max_tokens=60)))
    threads = [threading.Thread(target=_ask, args=(client, server)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.batches.retrieve(batch.id).status in (
        "validating",
        "in_progress",
        "finalizing",
        "completed",
    )
    client.batches.cancel(batch.id)
    ended(client, batch)


def test_lines_of_many_answers_leave_the_queue_to_people(client: openai.OpenAI, server: LiveServer) -> None:
    batch = created(client, jsonl(*chats(server, 100, n=128, max_tokens=100, ignore_eos=True)))
    eventually(lambda: client.batches.retrieve(batch.id).status == "in_progress")
    for _ in range(10):
        _ask(client, server)
    assert client.batches.cancel(batch.id).status == "cancelling", "it was still running"
    ended(client, batch)


def _ask(client: openai.OpenAI, server: LiveServer) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    client.chat.completions.create(model=server.model, messages=messages, max_tokens=5)
