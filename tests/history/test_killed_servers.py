"""Killed after every durable write: what was acknowledged is there, what was not is whole or not there."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.jobs.places import ANSWERS, ANSWERS_IN_TROUBLE, of_today
from tests.jobs.service import GONE, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "4"))  # `make crash` runs 50
ASK: dict[str, Any] = {"model": "gpt-4o-mini"}
BROKEN = (*GONE, httpx.HTTPError)  # a stream breaks off without the client's own error


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


class Writer:
    """Makes, continues, labels and deletes, and remembers what it was told."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.chats: dict[str, dict[str, str] | None] = {}  # None: its label is not known
        self.responses: dict[str, str] = {}
        self.conversations: dict[str, list[str]] = {}  # what was said at least
        self.later: dict[str, bool] = {}  # whether somebody follows it
        self.cancelled: set[str] = set()
        self.deleted: set[str] = set()

    def exercise(self) -> None:
        """Everything once; returns early when the server has gone."""
        try:
            self._keep_chats(self._service.client)
            self._keep_responses(self._service.client)
            self._keep_conversations(self._service.client)
            self._answer_later(self._service.client)
        except BROKEN:
            return

    def check(self) -> None:
        """All that was acknowledged is there."""
        client = self._service.client
        for chat_id, label in self.chats.items():
            chat = client.chat.completions.retrieve(chat_id)
            assert label is None or chat.metadata == label
        for response_id, text in self.responses.items():
            assert client.responses.retrieve(response_id).output_text == text
            client.responses.create(**ASK, input="?", previous_response_id=response_id, max_output_tokens=1)
        for conversation_id, said in self.conversations.items():
            items: Any = list(client.conversations.items.list(conversation_id, order="asc", limit=100))
            assert [item.content[0].text for item in items][: len(said)] == said
        for response_id, followed in self.later.items():
            ended = self._ended(client, response_id)
            if response_id in self.cancelled:
                assert ended.status == "cancelled"
            elif ended.status == "failed":  # what may have been seen is not answered anew
                assert followed
                assert ended.error.code == "server_error"
            else:
                assert ended.status in ("completed", "incomplete", "cancelled")
                assert followed or ended.status == "cancelled" or ended.output_text != ""
        places = {"chat": client.chat.completions, "resp": client.responses, "conv": client.conversations}
        for gone in self.deleted:
            place: Any = places[gone[:4]]
            with pytest.raises(openai.NotFoundError):
                place.retrieve(gone)

    def _keep_chats(self, client: openai.OpenAI) -> None:
        asked: dict[str, Any] = {**ASK, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        kept = client.chat.completions.create(**asked, store=True).id
        self.chats[kept] = None
        client.chat.completions.update(kept, metadata={"a": "b"})
        self.chats[kept] = {"a": "b"}
        gone = client.chat.completions.create(**asked, store=True).id
        client.chat.completions.delete(gone)
        self.deleted.add(gone)

    def _keep_responses(self, client: openai.OpenAI) -> None:
        asked: dict[str, Any] = {**ASK, "input": "Hi", "max_output_tokens": 4}
        first = client.responses.create(**asked)
        self.responses[first.id] = first.output_text
        *_, last = client.responses.create(**asked, previous_response_id=first.id, stream=True)
        assert last.type in ("response.completed", "response.incomplete")
        self.responses[last.response.id] = last.response.output_text
        gone = client.responses.create(**asked).id
        client.responses.delete(gone)
        self.deleted.add(gone)

    def _keep_conversations(self, client: openai.OpenAI) -> None:
        hello: Any = {"role": "user", "content": "Hello."}
        kept = client.conversations.create(items=[hello]).id
        said = self.conversations[kept] = ["Hello."]
        answer = client.responses.create(**ASK, input="Hi", conversation=kept, max_output_tokens=4)
        said += ["Hi", answer.output_text]
        client.conversations.update(kept, metadata={"a": "b"})
        added = client.conversations.items.create(kept, items=[hello]).data[0].id
        client.conversations.items.delete(str(added), conversation_id=kept)
        gone = client.conversations.create().id
        client.conversations.delete(gone)
        self.deleted.add(gone)

    def _answer_later(self, client: openai.OpenAI) -> None:
        asked: dict[str, Any] = {**ASK, "input": "Hi", "max_output_tokens": 20, "background": True}
        alone = client.responses.create(**asked)
        self.later[alone.id] = False
        for event in client.responses.create(**asked, stream=True):
            if event.type == "response.created":
                self.later[event.response.id] = True
        unwanted = client.responses.create(**asked).id
        self.later[unwanted] = False
        if client.responses.cancel(unwanted).status == "cancelled":
            self.cancelled.add(unwanted)
        self._ended(client, alone.id)

    def _ended(self, client: openai.OpenAI, response_id: str) -> Any:
        deadline = time.monotonic() + 60
        while (found := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


def test_killed_once_after_every_durable_write(service: Service) -> None:
    writer = Writer(service)
    for place in (*of_today(ANSWERS), "response.kept@2"):
        if place == "generation.expired":
            leave_a_lease(service, writer)
        service.start(failpoint=place)
        writer.exercise()
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, writer)


def leave_a_lease(service: Service, writer: Writer) -> None:
    service.start(failpoint="generation.claimed")
    writer.exercise()
    assert service.wait_until_dead() == -signal.SIGKILL


@pytest.mark.parametrize("place", of_today(ANSWERS_IN_TROUBLE))
def test_killed_in_trouble(service: Service, place: str) -> None:
    """What nobody has seen is answered after the next start."""
    wrong = {"renewed": "hurried_renewals", "set_aside": "no_answers", "released": "endless_answers"}
    service.start(failpoint=place, wrong=[wrong[place.removeprefix("generation.")]])
    writer = Writer(service)
    asked: dict[str, Any] = {**ASK, "input": "Hi", "max_output_tokens": 120, "background": True}
    with suppress(*BROKEN):
        for _ in range(6):
            writer.later[service.client.responses.create(**asked).id] = False
    if place == "generation.released":
        service.stop()
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    assert writer.later
    service.start()
    writer.check()
    service.stop()
    service.verify()


def test_a_stop_gives_back_what_nobody_has_seen(service: Service) -> None:
    """However often it is stopped: a stop is no failed attempt."""
    asked: dict[str, Any] = {**ASK, "input": "Hi", "max_output_tokens": 120, "background": True}
    ids = []
    for _ in range(4):
        service.start()
        ids += [service.client.responses.create(**asked).id for _ in range(6)]
        service.stop()
    service.start()
    writer = Writer(service)
    writer.later = dict.fromkeys(ids, False)
    writer.check()


def test_killed_at_random_moments(service: Service) -> None:
    moments = random.Random(os.environ.get("CRASH_SEED", "1"))
    writer = Writer(service)
    for _ in range(ROUNDS):
        service.start()
        working = threading.Thread(target=writer.exercise)
        working.start()
        time.sleep(moments.uniform(0.0, 0.6))
        service.kill()
        working.join()
    settled(service, writer)


def settled(service: Service, writer: Writer) -> None:
    """Started for the last time: all that was acknowledged is there, and the store is well."""
    service.start()
    writer.exercise()
    writer.check()
    service.stop()
    service.verify()
