"""Killed after every durable write and at random moments: every file is read once, whole; nothing stays."""

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
from sqlalchemy import func, select

from pennyweight.store.database import Database
from pennyweight.store.tables.vector_stores import chunks, vector_store_files, vector_stores
from tests.jobs.places import RETRIEVAL, RETRIEVAL_RARELY, of_today
from tests.jobs.service import GONE, Service
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import write_encoder_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
NUM_SENTENCES = 400
TEXT = "".join(f"Sentence {number} of the cat on the mat. " for number in range(NUM_SENTENCES)).encode()
BROKEN = (*GONE, httpx.HTTPError)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    encoder = write_encoder_folder(tmp_path / "tiny-encoder")
    model = write_tiny_llama(tmp_path / "tiny.gguf")
    service = Service(model, tmp_path / "data", "--embedding-model", str(encoder))
    yield service
    service.kill()


class Librarian:
    """Makes and deletes stores, and remembers what it was told."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.stores: dict[str, str] = {}
        self.deleted: set[str] = set()

    def exercise(self) -> None:
        """Everything once; returns early when the server has gone."""
        try:
            self._exercise(self._service.client)
        except BROKEN:
            return

    def check(self) -> None:
        """Every store that was acknowledged has all of its text, once; then all of them are deleted."""
        client = self._service.client
        for store_id, file_id in self.stores.items():
            self.wait(store_id)
            parts = client.vector_stores.files.content(file_id, vector_store_id=store_id)
            texts = [part.text or "" for part in parts]
            starts = [text.split(" ")[1] for text in texts]
            assert len(set(starts)) == len(starts), "a chunk was stored twice"
            found = {sentence.split(" ")[1] for text in texts for sentence in text.split(". ")}
            assert found == set(map(str, range(NUM_SENTENCES)))
            (hit, *_) = client.vector_stores.search(store_id, query="sentence 399")
            assert "Sentence 399 " in hit.content[0].text
        for store_id in self.deleted:
            with pytest.raises(openai.NotFoundError):
                client.vector_stores.retrieve(store_id)
        for store_id in self.stores:
            client.vector_stores.delete(store_id)

    def _exercise(self, client: openai.OpenAI) -> None:
        file_id = client.files.create(file=("a.txt", TEXT), purpose="assistants").id
        damaged = client.files.create(file=("a.json", b"{"), purpose="assistants").id
        gone = client.vector_stores.create(file_ids=[file_id]).id
        self.wait(gone)
        client.vector_stores.update(gone, name="x")
        client.vector_stores.files.update(file_id, vector_store_id=gone, attributes={"a": "b"})
        client.vector_stores.search(gone, query="cat")
        client.vector_stores.files.delete(file_id, vector_store_id=gone)
        batch = client.vector_stores.file_batches.create(gone, file_ids=[file_id])
        client.vector_stores.file_batches.cancel(batch.id, vector_store_id=gone)
        client.vector_stores.delete(gone)
        self.deleted.add(gone)
        store_id = client.vector_stores.create(file_ids=[file_id]).id
        self.stores[store_id] = file_id
        client.vector_stores.files.create(store_id, file_id=damaged)
        self.wait(store_id)
        time.sleep(0.2)  # what was deleted is being removed

    def wait(self, store_id: str) -> Any:
        deadline = time.monotonic() + 60
        while (store := self._service.client.vector_stores.retrieve(store_id)).status == "in_progress":
            assert time.monotonic() < deadline, store
            time.sleep(0.02)
        return store


def settled(service: Service, librarian: Librarian) -> None:
    """Started for the last time: all that was acknowledged is there, and goes when it is deleted."""
    service.start()
    if not librarian.stores:  # it always died before it answered
        librarian.exercise()
    librarian.check()
    service.stop()
    service.verify()
    with Database.open(f"sqlite:///{next(service.folder.glob('*.db'))}") as database:
        listed = select(vector_stores.c.id).where(vector_stores.c.deleted.is_(False))
        kept = set(database.read_now(lambda c: c.execute(listed).scalars().all()))
        assert not kept & (set(librarian.stores) | librarian.deleted)
        owners = select(vector_store_files.c.number)
        orphans = select(func.count()).where(chunks.c.file_number.not_in(owners))
        assert database.read_now(lambda c: c.execute(orphans).scalar_one()) == 0


def test_killed_once_after_every_durable_write(service: Service) -> None:
    librarian = Librarian(service)
    for place in (*of_today(RETRIEVAL), "chunks.stored@3"):
        service.start(failpoint=place)
        librarian.exercise()
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, librarian)


@pytest.mark.parametrize("place", of_today(RETRIEVAL_RARELY))
def test_killed_where_servers_seldom_are(service: Service, place: str) -> None:
    wrong = {
        "chunks.given_back": ["reading_is_stopped"],
        "chunks.renewed": ["old_leases"],
        "chunks.tidied": ["tidy_at_once"],
        "vector_store.used": ["every_use_noted"],
    }
    service.start(failpoint=place, wrong=wrong.get(place, []))
    librarian, client = Librarian(service), service.client
    with suppress(*BROKEN):
        file_id = client.files.create(file=("a.txt", TEXT), purpose="assistants").id
        store_id = client.vector_stores.create(file_ids=[file_id]).id
        librarian.stores[store_id] = file_id
        if place == "vector_store.used":
            librarian.wait(store_id)
            client.vector_stores.search(store_id, query="cat")
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, librarian)


def test_killed_at_random_moments(service: Service) -> None:
    moments = random.Random(os.environ.get("CRASH_SEED", "1"))
    librarian = Librarian(service)
    for _ in range(ROUNDS):
        service.start()
        working = threading.Thread(target=librarian.exercise)
        working.start()
        time.sleep(moments.uniform(0.2, 1.2))
        service.kill()
        working.join()
    service.start()
    librarian.exercise()
    service.stop()
    settled(service, librarian)
