"""Conversations and their items through the official client, and responses that are given in them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.server.live import eventually

if TYPE_CHECKING:
    from tests.server.live import LiveServer

HELLO: Any = {"type": "message", "role": "user", "content": "Hello."}
CALL: Any = {"type": "function_call", "call_id": "call_1", "name": "switch", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "on"}


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "input": "Hi", "max_output_tokens": 6}
    return client.responses.create(**{**defaults, **fields}, extra_body={"seed": 7})


def texts(client: openai.OpenAI, conversation_id: str, **fields: Any) -> list[str]:
    items: Any = client.conversations.items.list(conversation_id, **{"order": "asc", **fields})
    return [item.content[0].text for item in items]


def test_a_life(client: openai.OpenAI) -> None:
    made = client.conversations.create(items=[HELLO, CALL, OUTPUT], metadata={"topic": "a"})
    assert made.id.startswith("conv_")
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"topic": "b"}).metadata == {"topic": "b"}
    items: Any = list(client.conversations.items.list(made.id, order="asc", limit=2))
    assert [item.type for item in items] == ["message", "function_call", "function_call_output"]
    assert client.conversations.items.retrieve(items[1].id, conversation_id=made.id) == items[1]
    left = client.conversations.items.delete(items[1].id, conversation_id=made.id)
    assert left.id == made.id
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(items[1].id, conversation_id=made.id)
    gone = client.conversations.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
    for call in (client.conversations.retrieve, client.conversations.delete, client.conversations.items.list):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_items_are_appended_and_listed(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    assert texts(client, made.id) == []
    for number in range(2):
        new: Any = [{**HELLO, "content": f"{number}{place}"} for place in "ab"]
        added: Any = client.conversations.items.create(made.id, items=new)
        assert [item.content[0].text for item in added.data] == [f"{number}a", f"{number}b"]
        assert (added.first_id, added.last_id) == (added.data[0].id, added.data[1].id)
    assert texts(client, made.id, limit=3) == ["0a", "0b", "1a", "1b"]
    newest: Any = client.conversations.items.list(made.id, limit=1)
    assert newest.data[0].content[0].text == "1b"
    assert newest.has_more


def test_a_response_in_a_conversation(client: openai.OpenAI, server: LiveServer) -> None:
    """It reads what was there, and appends what it was asked and answered."""
    made = client.conversations.create(items=[HELLO, {"role": "assistant", "content": "Hi!"}])
    answer = ask(client, server, conversation=made.id, input="And now?")
    assert answer.conversation.id == made.id
    history: list[Any] = [HELLO, {"role": "assistant", "content": "Hi!"}, {**HELLO, "content": "And now?"}]
    assert ask(client, server, input=history, store=False).output_text == answer.output_text
    assert texts(client, made.id) == ["Hello.", "Hi!", "And now?", answer.output_text]
    *_, last = ask(client, server, conversation={"id": made.id}, input="More.", stream=True)
    assert texts(client, made.id)[4:] == ["More.", last.response.output_text]
    counted = client.responses.input_tokens.count(model=server.model, conversation=made.id, input="Well?")
    assert counted.input_tokens == ask(client, server, conversation=made.id, input="Well?").usage.input_tokens
    own = client.responses.input_items.list(last.response.id)
    assert len(own.data) == 1


def test_a_response_that_is_not_kept_is_still_said(client: openai.OpenAI, server: LiveServer) -> None:
    made = client.conversations.create()
    answer = ask(client, server, conversation=made.id, store=False)
    assert texts(client, made.id) == ["Hi", answer.output_text]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)


def test_items_outlive_their_response_and_their_conversation(
    client: openai.OpenAI, server: LiveServer
) -> None:
    made = client.conversations.create()
    first, second = (ask(client, server, conversation=made.id) for _ in range(2))
    client.responses.delete(first.id)
    assert len(texts(client, made.id)) == 4
    client.conversations.delete(made.id)
    kept = client.responses.retrieve(second.id)
    assert kept.output == second.output
    assert len(client.responses.input_items.list(second.id).data) == 1


def test_what_does_not_go_together(client: openai.OpenAI, server: LiveServer) -> None:
    made = client.conversations.create()
    answer = ask(client, server, conversation=made.id)
    with pytest.raises(openai.BadRequestError, match="send one of them"):
        ask(client, server, conversation=made.id, previous_response_id=answer.id)
    with pytest.raises(openai.BadRequestError, match="continue it with 'conversation'"):
        ask(client, server, previous_response_id=answer.id)
    for nobody in ("conv_nobody", "conv_\0", "thread_x"):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, server, conversation=nobody)
        assert caught.value.param == "conversation"


def test_who_is_faster_goes_first(client: openai.OpenAI, server: LiveServer) -> None:
    """An answer that did not read what was said meanwhile is not put behind it."""
    made = client.conversations.create()
    stream = ask(client, server, conversation=made.id, stream=True, max_output_tokens=400)
    next(iter(stream))
    client.conversations.items.create(made.id, items=[HELLO])
    *_, last = stream
    assert (last.type, last.response.error.code) == ("response.failed", "server_error")
    assert texts(client, made.id) == ["Hello."]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(last.response.id)


def test_taking_an_item_out_is_a_change_too(client: openai.OpenAI, server: LiveServer) -> None:
    made = client.conversations.create(items=[{**HELLO, "content": text} for text in ("One", "Two")])
    for place, further in ((0, []), (-1, [HELLO])):
        stream = ask(client, server, conversation=made.id, stream=True, max_output_tokens=400)
        next(iter(stream))
        there: Any = list(client.conversations.items.list(made.id, order="asc"))
        client.conversations.items.delete(there[place].id, conversation_id=made.id)
        if further:
            client.conversations.items.create(made.id, items=further)
        *_, last = stream
        assert last.type == "response.failed"
    assert texts(client, made.id) == ["Hello."]


def test_an_item_that_is_named_again_stands_as_a_copy(client: openai.OpenAI, server: LiveServer) -> None:
    """A listing goes on behind an id: each stands in it once."""
    elsewhere: Any = client.conversations.create(items=[{**HELLO, "content": "One"}])
    (item,) = client.conversations.items.list(elsewhere.id)
    made = client.conversations.create()
    named: Any = {"type": "item_reference", "id": item.id}
    first = ask(client, server, conversation=made.id, input=[named, named])
    second = ask(client, server, conversation=made.id, input=[named])
    third = ask(client, server, conversation=made.id, input=[named], background=True)
    eventually(lambda: client.responses.retrieve(third.id).status not in ("queued", "in_progress"))
    found: Any = list(client.conversations.items.list(made.id, order="asc", limit=2))
    said = [item.content[0].text for item in found if item.role == "user"]
    assert said == ["One"] * 4
    assert len({item.id for item in found}) == len(found) == 7
    assert found[0].id == item.id
    assert [len(list(client.responses.input_items.list(r.id, limit=1))) for r in (first, second)] == [2, 1]
    chained = ask(client, server, previous_response_id=ask(client, server, input=[named]).id, input=[named])
    assert len(list(client.responses.input_items.list(chained.id, order="asc", limit=1))) == 3


def test_of_many_at_once_each_is_whole(client: openai.OpenAI, server: LiveServer) -> None:
    made = client.conversations.create()
    outcomes: list[int] = []

    def say(number: int) -> None:
        body = {"model": server.model, "input": f"{number}", "conversation": made.id, "max_output_tokens": 3}
        outcomes.append(httpx.post(f"{server.url}/v1/responses", json=body, timeout=60).status_code)

    threads = [threading.Thread(target=say, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {200, 409}
    said = texts(client, made.id)
    assert len(said) == 2 * outcomes.count(200) > 0
    assert all(text.isdigit() for text in said[::2])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"items": [HELLO] * 21}, "items"),
        ({"items": "Hello."}, "items"),
        ({"items": [{"role": "nobody", "content": "a"}]}, "items[0].role"),
        ({"items": [HELLO, {"type": "item_reference", "id": "msg_1"}]}, "items[1].type"),
        (
            {"items": [{**HELLO, "content": [{"type": "input_image", "image_url": "a"}]}]},
            "items[0].content[0].type",
        ),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"name": "a"}, "name"),
    ],
)
def test_what_is_wrong_is_named(server: LiveServer, fields: dict[str, Any], param: str) -> None:
    reply = httpx.post(f"{server.url}/v1/conversations", json=fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_what_is_dropped_is_named(server: LiveServer) -> None:
    items = [{**HELLO, "mood": "good"}, {"type": "reasoning", "id": "rs_1", "summary": []}]
    reply = httpx.post(f"{server.url}/v1/conversations", json={"items": items})
    assert reply.headers["x-pennyweight-ignored"] == "items[].mood, items[reasoning]"
    listed = httpx.get(f"{server.url}/v1/conversations/{reply.json()['id']}/items").json()
    assert len(listed["data"]) == 1
