"""What one project keeps another cannot see, continue, refer to or delete; what a key may do with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


@pytest.fixture(scope="module")
def owner(keyed: LiveServer) -> Iterator[openai.OpenAI]:
    with keyed.client(new_key(keyed, new_project(keyed, "a")).secret.text) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(keyed: LiveServer) -> Iterator[openai.OpenAI]:
    with keyed.client(new_key(keyed, new_project(keyed, "b")).secret.text) as client:
        yield client


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "input": "Hi", "max_output_tokens": 4}
    return client.responses.create(**{**defaults, **fields})


def test_another_projects_objects_are_not_there(
    keyed: LiveServer, owner: openai.OpenAI, stranger: openai.OpenAI
) -> None:
    """The same answer as for an id that nobody has."""
    chat = owner.chat.completions.create(
        model=keyed.model, messages=[{"role": "user", "content": "Hi"}], max_tokens=4, store=True
    )
    conversation = owner.conversations.create(items=[{"role": "user", "content": "Hello."}])
    (item,) = owner.conversations.items.list(conversation.id)
    response = ask(owner, keyed)
    calls: list[tuple[str, Callable[[str], Any]]] = [
        (chat.id, stranger.chat.completions.retrieve),
        (chat.id, stranger.chat.completions.delete),
        (chat.id, stranger.chat.completions.messages.list),
        (chat.id, lambda own_id: stranger.chat.completions.update(own_id, metadata={})),
        (response.id, stranger.responses.retrieve),
        (response.id, stranger.responses.delete),
        (response.id, stranger.responses.input_items.list),
        (response.id, lambda own_id: ask(stranger, keyed, previous_response_id=own_id)),
        (conversation.id, stranger.conversations.retrieve),
        (conversation.id, stranger.conversations.delete),
        (conversation.id, stranger.conversations.items.list),
        (conversation.id, lambda own_id: stranger.conversations.update(own_id, metadata={})),
        (conversation.id, lambda own_id: ask(stranger, keyed, conversation=own_id)),
        (
            str(item.id),
            lambda own_id: ask(stranger, keyed, input=[{"type": "item_reference", "id": own_id}]),
        ),
    ]
    for own_id, call in calls:
        told = []
        for asked in (own_id, own_id[:-4] + "xxxx"):
            with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as caught:
                call(asked)
            told.append((caught.value.status_code, caught.value.message.replace(asked, "ID")))
        assert told[0] == told[1]
    assert list(stranger.chat.completions.list()) == []
    assert owner.chat.completions.retrieve(chat.id).id == chat.id
    assert ask(owner, keyed, previous_response_id=response.id).previous_response_id == response.id


def test_a_key_that_may_only_ask_does_not_read(keyed: LiveServer) -> None:
    """A model can be told to repeat what it was given."""
    project = new_project(keyed)
    with (
        keyed.client(new_key(keyed, project).secret.text) as all_rights,
        keyed.client(new_key(keyed, project, scopes=frozenset({"model.request"})).secret.text) as asks,
    ):
        kept = ask(asks, keyed)
        conversation = all_rights.conversations.create(items=[{"role": "user", "content": "Hello."}]).id
        reference = [{"type": "item_reference", "id": kept.output[0].id}]
        for fields in (
            {"previous_response_id": kept.id},
            {"conversation": conversation},
            {"input": reference},
        ):
            with pytest.raises(openai.PermissionDeniedError):
                ask(asks, keyed, **fields)
            ask(all_rights, keyed, **fields)
        reads = frozenset({"model.request", "api.responses.read"})
        with keyed.client(new_key(keyed, project, scopes=reads).secret.text) as half:
            ask(half, keyed, previous_response_id=kept.id)
            with pytest.raises(openai.PermissionDeniedError, match=r"api\.conversations\.read"):
                ask(half, keyed, input=reference)
        thread = all_rights.beta.threads.create(messages=[{"role": "user", "content": "Hello."}]).id
        (message,) = all_rights.beta.threads.messages.list(thread)
        with pytest.raises(openai.NotFoundError, match=message.id):
            ask(all_rights, keyed, input=[{"type": "item_reference", "id": message.id}])
        with pytest.raises(openai.PermissionDeniedError):
            asks.responses.retrieve(kept.id)
        assert all_rights.responses.retrieve(kept.id).id == kept.id
