"""Stored chat completions through the official client: created, listed, labelled, read and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.store.retention import Housekeeper, Retention

if TYPE_CHECKING:
    from tests.server.live import LiveServer

PARTS = [{"type": "text", "text": "Tell me "}, {"type": "text", "text": "more."}]
MESSAGES: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": PARTS},
]


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "messages": MESSAGES, "max_tokens": 6, "store": True}
    return client.chat.completions.create(**{**defaults, **fields})


def test_what_was_told_is_kept(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server, metadata={"topic": "weather"}, n=2)
    assert told.model_extra["store"] is True
    kept = client.chat.completions.retrieve(told.id)
    assert kept.choices == told.choices
    assert (kept.usage, kept.created, kept.model) == (told.usage, told.created, told.model)
    assert kept.metadata == {"topic": "weather"}


def test_a_stream_is_kept_when_it_has_ended(client: openai.OpenAI, server: LiveServer) -> None:
    chunks = list(ask(client, server, stream=True, n=2, stream_options={"include_usage": True}))
    kept = client.chat.completions.retrieve(chunks[0].id)
    for index, choice in enumerate(kept.choices):
        pieces = [
            c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].index == index
        ]
        assert choice.message.content == "".join(pieces)
    assert kept.usage == chunks[-1].usage


def test_what_was_not_to_be_kept_is_not(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server, store=False)
    with pytest.raises(openai.NotFoundError, match=told.id):
        client.chat.completions.retrieve(told.id)


def test_lists_are_filtered_and_paged(client: openai.OpenAI, server: LiveServer) -> None:
    told = [ask(client, server, metadata={"run": "lists", "n": str(n)}).id for n in range(3)]
    odd: dict[str, str] = {"run": "lists", 'a "name]': 'b, "c": d'}
    told.append(ask(client, server, model="gpt-4o-mini", metadata=odd).id)
    listed = client.chat.completions.list
    assert {chat.id for chat in listed(metadata={"run": "lists"}, limit=2)} == set(told)
    assert [chat.id for chat in listed(metadata={"run": "lists", "n": "1"})] == [told[1]]
    assert [chat.id for chat in listed(metadata=odd)] == [told[3]]
    assert list(listed(metadata={"run": "list"})) == []
    assert list(listed(model="another")) == []
    for name in (server.model, "gpt-4o-mini"):
        assert len(list(listed(model=name, metadata={"run": "lists"}))) == 4
    page = listed(metadata={"run": "lists"}, limit=3, order="desc")
    assert page.has_more
    first = list(listed(metadata={"run": "lists"}))
    assert [chat.id for chat in page.data] == [chat.id for chat in reversed(first)][:3]


def test_labels_are_replaced(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server, metadata={"a": "1", "b": "2"})
    changed = client.chat.completions.update(told.id, metadata={"b": "3"})
    assert changed.choices == told.choices
    assert changed.metadata == {"b": "3"}
    cleared = client.chat.completions.update(told.id, metadata=None)
    assert cleared.metadata == {}
    for wrong in ({"a": "b" * 513}, {"a" * 65: "b"}, {str(n): "" for n in range(17)}, {"a": 1}):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.update(told.id, metadata=wrong)  # type: ignore[arg-type]
    assert httpx.post(f"{server.url}/v1/chat/completions/{told.id}", json={}).status_code == 400


def test_the_messages_it_was_asked_with(
    client: openai.OpenAI, loose_client: openai.OpenAI, server: LiveServer
) -> None:
    """The client's type knows the assistant's messages only; the service lists all."""
    told = ask(client, server)
    found: Any = list(loose_client.chat.completions.messages.list(told.id, limit=3))
    assert [message.role for message in found] == [message["role"] for message in MESSAGES]
    assert [message.content for message in found] == ["Be brief.", "Hi", "Hello.", "Tell me more."]
    assert [message.content_parts is None for message in found] == [True, True, True, False]
    assert [message.id for message in found] == [f"{told.id}-{n}" for n in range(4)]
    last = loose_client.chat.completions.messages.list(told.id, order="desc", limit=1)
    assert [message.id for message in last.data] == [f"{told.id}-3"]


def test_deleted_is_gone(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server)
    gone = client.chat.completions.delete(told.id)
    assert (gone.id, gone.deleted, gone.object) == (told.id, True, "chat.completion.deleted")
    for call in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(openai.NotFoundError):
            call(told.id)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.update(told.id, metadata={})
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.messages.list(told.id)


def test_a_response_is_no_chat(client: openai.OpenAI, server: LiveServer) -> None:
    response = client.responses.create(model=server.model, input="Hi", max_output_tokens=2)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(ask(client, server).id)


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("page=2", "page")],
)
def test_queries_are_checked(server: LiveServer, query: str, param: str) -> None:
    reply = httpx.get(f"{server.url}/v1/chat/completions?{query}")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_what_is_too_old_goes(client: openai.OpenAI, server: LiveServer) -> None:
    told = ask(client, server)
    services, days = server.services, Retention(generations_days=30, events_days=1, usage_days=400)
    keeper = Housekeeper(services.database, services.blobs, days)
    keeper.tidy(told.created + 29 * 86_400)
    client.chat.completions.retrieve(told.id)
    keeper.tidy(told.created + 31 * 86_400)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.retrieve(told.id)
