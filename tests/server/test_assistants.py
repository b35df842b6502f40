"""Assistants, threads and messages by the official client, from create to delete, error paths included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.store.identifiers import new_id
from pennyweight.store.pages import Cursor
from pennyweight.store.vector_store import NewVectorStore
from pennyweight.store.vector_store_files import VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores
from tests.server.issuing import new_key, new_project
from tests.server.live import live_server

if TYPE_CHECKING:
    from openai.types.beta import Thread
    from sqlalchemy import Connection

    from pennyweight.api import Engine
    from tests.server.live import LiveServer

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def a_store(server: LiveServer) -> str:
    """The id of an empty vector store of the default project."""
    new = NewVectorStore(id=new_id("vs_"), project_id="default", created_at=1)
    return server.services.database.write_now(lambda c: VectorStores().add(c, new)).id


def stores_of(thread: Thread) -> list[str]:
    assert thread.tool_resources is not None
    assert thread.tool_resources.file_search is not None
    return thread.tool_resources.file_search.vector_store_ids or []


def files_in(server: LiveServer, store_id: str) -> list[str]:
    """The ids of the files in a store."""

    def read(connection: Connection) -> list[str]:
        store = VectorStores().get(connection, "default", store_id)
        return [file.id for file in VectorStoreFiles().page(connection, store, Cursor()).items]

    return server.services.database.read_now(read)


@pytest.mark.parametrize(("name", "said"), [("x" * 257, "256"), ("a\0b", "NUL")])
def test_names_are_bounded(client: openai.OpenAI, server: LiveServer, name: str, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.beta.assistants.create(model=server.model, name=name)
    with pytest.raises(openai.BadRequestError, match=said):
        client.vector_stores.create(name=name)


def test_an_assistant_from_create_to_delete(client: openai.OpenAI, server: LiveServer) -> None:
    assistants = client.beta.assistants
    made = assistants.create(
        name="Maths tutor",
        description="Knows sums",
        instructions="Be brief.",
        tools=[WEATHER, {"type": "file_search", "file_search": {"max_num_results": 3}}],
        tool_resources={"file_search": {"vector_store_ids": [a_store(server)]}},
        model=server.model,
        metadata={"k": "v"},
        temperature=0.5,
    )
    assert made.id.startswith("asst_")
    assert made.name == "Maths tutor"
    assert made.tools[0].to_dict() == WEATHER
    assert (made.temperature, made.top_p, made.response_format) == (0.5, 1.0, "auto")
    assert assistants.retrieve(made.id) == made
    assert made.id in [item.id for item in assistants.list(limit=1)]
    changed = assistants.update(made.id, name=None, instructions="Be long.", tools=[], top_p=0.1)
    assert (changed.name, changed.instructions, changed.tools, changed.top_p) == (None, "Be long.", [], 0.1)
    assert (changed.description, changed.metadata) == ("Knows sums", {"k": "v"})
    gone = assistants.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    for call in (assistants.retrieve, assistants.delete, assistants.update):
        with pytest.raises(openai.NotFoundError, match=made.id):
            call(made.id)


def test_lists_go_both_ways(client: openai.OpenAI, server: LiveServer) -> None:
    made = [client.beta.assistants.create(model=server.model).id for _ in range(5)]
    whole = [item.id for item in client.beta.assistants.list(order="asc", limit=2)]
    assert set(made) <= set(whole)
    second = client.beta.assistants.list(order="asc", after=whole[0], limit=2)
    assert [item.id for item in second.data] == whole[1:3]
    before = client.beta.assistants.list(order="asc", before=whole[3], limit=2)
    assert [item.id for item in before.data] == whole[1:3]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "gpt-17"}, "model"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "file_search", "file_search": {"max_num_results": 51}}]}, None),
        ({"tool_resources": {"file_search": {"vector_store_ids": ["a", "b"]}}}, None),
        ({"tool_resources": {"code_interpreter": {"file_ids": ["f"]}}}, "tool_resources.code_interpreter"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"name": "n" * 257}, "name"),
        ({"description": "n" * 513}, "description"),
        ({"instructions": "n" * 256_001}, "instructions"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"temperature": 3}, "temperature"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_an_assistant_cannot_be(server: LiveServer, fields: dict[str, Any], param: str | None) -> None:
    reply = httpx.post(f"{server.url}/v1/assistants", json={"model": server.model, **fields})
    assert reply.status_code == (404 if "model" in fields else 400), reply.text
    told = reply.json()["error"]["param"]
    assert told == param if param is not None else told.startswith(next(iter(fields)))


@pytest.mark.parametrize("strange", ['"\\ud800"', "1e999"])
def test_what_json_cannot_hold_is_refused(server: LiveServer, strange: str) -> None:
    for field, value in (
        ("tools", '[{"type": "function", "function": {"name": "f", "parameters": {"default": %s}}}]'),
        (
            "response_format",
            '{"type": "json_schema", "json_schema": {"name": "s", "schema": {"default": %s}}}',
        ),
    ):
        body = f'{{"model": "{server.model}", "{field}": {value % strange}}}'
        reply = httpx.post(f"{server.url}/v1/assistants", content=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, field)


def test_a_thread_from_create_to_delete(client: openai.OpenAI, server: LiveServer) -> None:
    threads, store_id = client.beta.threads, a_store(server)
    made = threads.create(
        messages=[
            {"role": "user", "content": "One", "metadata": {"n": "1"}},
            {"role": "assistant", "content": [{"type": "text", "text": "Two"}]},
        ],
        metadata={"k": "v"},
    )
    assert made.id.startswith("thread_")
    assert threads.retrieve(made.id) == made
    changed = threads.update(
        made.id, metadata={}, tool_resources={"file_search": {"vector_store_ids": [store_id]}}
    )
    assert changed.metadata == {}
    assert stores_of(changed) == [store_id]
    messages = list(threads.messages.list(made.id, order="asc"))
    assert [(m.role, m.content[0].text.value) for m in messages if m.content[0].type == "text"] == [
        ("user", "One"),
        ("assistant", "Two"),
    ]
    assert messages[0].metadata == {"n": "1"}
    assert threads.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match=made.id):
        threads.retrieve(made.id)
    with pytest.raises(openai.NotFoundError, match=made.id):
        threads.messages.list(made.id)


def test_a_thread_may_be_made_of_nothing(server: LiveServer) -> None:
    reply = httpx.post(f"{server.url}/v1/threads", headers={"openai-beta": "assistants=v2"})
    assert reply.json()["object"] == "thread"


def test_messages_keep_their_order(client: openai.OpenAI) -> None:
    thread = client.beta.threads.create()
    messages = client.beta.threads.messages
    made = [messages.create(thread.id, role="user", content=str(n)) for n in range(7)]
    ids = [message.id for message in made]
    assert [m.id for m in messages.list(thread.id, limit=3)] == ids[::-1]
    assert [m.id for m in messages.list(thread.id, order="asc", after=ids[2], limit=2).data] == ids[3:5]
    assert [m.id for m in messages.list(thread.id, order="asc", before=ids[5], limit=2).data] == ids[3:5]
    first = made[0]
    assert (first.status, first.role, first.thread_id, first.run_id) == ("completed", "user", thread.id, None)
    assert messages.retrieve(first.id, thread_id=thread.id) == first
    changed = messages.update(first.id, thread_id=thread.id, metadata={"seen": "yes"})
    assert changed.metadata == {"seen": "yes"}
    assert changed.content == first.content
    assert messages.delete(first.id, thread_id=thread.id).deleted
    assert [m.id for m in messages.list(thread.id, order="asc")] == ids[1:]
    for call in (messages.retrieve, messages.delete, messages.update):
        with pytest.raises(openai.NotFoundError, match=first.id):
            call(first.id, thread_id=thread.id)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"role": "system"}, "role"),
        ({"content": ""}, "content"),
        ({"content": []}, "content"),
        ({"content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}, "content[0].type"),
        ({"attachments": [{"file_id": "f"}]}, "attachments[0].tools"),
        (
            {"attachments": [{"file_id": "f", "tools": [{"type": "code_interpreter"}]}]},
            "attachments[0].tools[0].type",
        ),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_what_a_message_cannot_be(server: LiveServer, fields: dict[str, Any], param: str) -> None:
    thread = httpx.post(f"{server.url}/v1/threads").json()["id"]
    body = {"role": "user", "content": "Hi", **fields}
    reply = httpx.post(f"{server.url}/v1/threads/{thread}/messages", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    reply = httpx.post(f"{server.url}/v1/threads", json={"messages": [body]})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, f"messages[0].{param}")


def test_files_beside_messages_go_into_the_threads_store(client: openai.OpenAI, server: LiveServer) -> None:
    """As OpenAI's walk-through of file search attaches a file to a thread."""
    ids = [client.files.create(file=("a.txt", text.encode()), purpose="assistants").id for text in "abc"]
    tools: Any = [{"type": "file_search"}]
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "How many shares of AAPL were outstanding at the end of October 2023?",
                "attachments": [{"file_id": ids[0], "tools": tools}],
            }
        ]
    )
    (store_id,) = stores_of(thread)
    assert files_in(server, store_id) == ids[:1]
    message = client.beta.threads.messages.create(
        thread.id,
        role="user",
        content="And these?",
        attachments=[{"file_id": file_id, "tools": tools} for file_id in ids[1:]],
    )
    assert sorted(files_in(server, store_id)) == sorted(ids)
    assert stores_of(client.beta.threads.retrieve(thread.id)) == [store_id]
    assert message.attachments is not None
    assert [item.file_id for item in message.attachments] == ids[1:]
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.beta.threads.messages.create(
            thread.id, role="user", content="?", attachments=[{"file_id": "file-none", "tools": tools}]
        )
    assert len(list(client.beta.threads.messages.list(thread.id))) == 2
    for make in (
        client.beta.threads.create,
        lambda **more: client.beta.assistants.create(model=server.model, **more),
    ):
        with pytest.raises(openai.NotFoundError):
            make(tool_resources={"file_search": {"vector_store_ids": ["vs_none"]}})


@pytest.mark.parametrize("deleted", [True, False])
def test_a_thread_whose_store_is_gone_gets_another(
    client: openai.OpenAI, server: LiveServer, *, deleted: bool
) -> None:
    file = client.files.create(file=("a.txt", b"a"), purpose="assistants")
    beside: Any = [{"file_id": file.id, "tools": [{"type": "file_search"}]}]
    asked: Any = {"role": "user", "content": "And this?", "attachments": beside}
    thread = client.beta.threads.create(messages=[asked])
    (gone,) = stores_of(thread)
    if deleted:
        client.vector_stores.delete(gone)
    else:
        days = {"expires_after_days": 1}
        server.services.database.write_now(lambda c: VectorStores().update(c, "default", gone, days, now=1))
    client.beta.threads.messages.create(thread.id, **asked)
    (store_id,) = stores_of(client.beta.threads.retrieve(thread.id))
    assert store_id != gone
    assert files_in(server, store_id) == [file.id]


def test_a_store_may_be_made_with_an_assistant_or_a_thread(client: openai.OpenAI, server: LiveServer) -> None:
    file_id = client.files.create(file=("a.txt", b"a"), purpose="assistants").id
    static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    wish: Any = {"file_ids": [file_id], "chunking_strategy": static, "metadata": {"k": "v"}}
    resources: Any = {"file_search": {"vector_stores": [wish]}}
    thread = client.beta.threads.create(tool_resources=resources)
    assistant = client.beta.assistants.create(model=server.model, tool_resources=resources)
    assert assistant.tool_resources is not None
    assert assistant.tool_resources.file_search is not None
    (other,) = assistant.tool_resources.file_search.vector_store_ids or []
    (own,) = stores_of(thread)
    assert own != other
    for store_id in (own, other):
        assert files_in(server, store_id) == [file_id]
        assert client.vector_stores.retrieve(store_id).metadata == {"k": "v"}
    both: Any = {"file_search": {"vector_stores": [wish], "vector_store_ids": [own]}}
    with pytest.raises(openai.BadRequestError, match="send one of them"):
        client.beta.threads.create(tool_resources=both)
    static["static"]["chunk_overlap_tokens"] = 51
    with pytest.raises(openai.BadRequestError, match="chunk_overlap_tokens"):
        client.beta.threads.create(tool_resources=resources)
    with pytest.raises(openai.BadRequestError, match="new assistants and threads"):
        client.beta.threads.update(thread.id, tool_resources=resources)


def test_a_thread_is_no_conversation_and_the_other_way(client: openai.OpenAI, server: LiveServer) -> None:
    conversation, thread = client.conversations.create(), client.beta.threads.create()
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.retrieve(conversation.id)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(thread.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=server.model, input="Hi", conversation=thread.id, max_output_tokens=16)


def test_projects_do_not_see_each_other(engine: Engine) -> None:
    with live_server(engine) as server:
        mine, theirs = (server.client(new_key(server, new_project(server)).secret.text) for _ in range(2))
        assistant = mine.beta.assistants.create(model=server.model)
        thread = mine.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
        (message,) = mine.beta.threads.messages.list(thread.id)
        assert list(theirs.beta.assistants.list()) == []
        for ask in (
            lambda: theirs.beta.assistants.retrieve(assistant.id),
            lambda: theirs.beta.assistants.delete(assistant.id),
            lambda: theirs.beta.threads.retrieve(thread.id),
            lambda: theirs.beta.threads.delete(thread.id),
            lambda: theirs.beta.threads.messages.list(thread.id),
            lambda: theirs.beta.threads.messages.create(thread.id, role="user", content="Hi"),
            lambda: theirs.beta.threads.messages.retrieve(message.id, thread_id=thread.id),
            lambda: theirs.beta.threads.messages.delete(message.id, thread_id=thread.id),
        ):
            with pytest.raises(openai.NotFoundError):
                ask()
        assert len(list(mine.beta.threads.messages.list(thread.id))) == 1
        for one in (mine, theirs):
            one.close()
