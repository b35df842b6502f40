"""Killed after every durable write and at random moments: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from pennyweight.store.database import Database
from pennyweight.store.tables.batches import batch_lines
from pennyweight.store.tables.usage import usage
from tests.jobs.places import BATCHES, BATCHES_IN_TROUBLE, of_today
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.service import GONE, Customer, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "6"))  # `make crash` runs 50


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


def settled(service: Service, customer: Customer) -> None:
    """Started for the last time: all that was acknowledged is there, and every line was counted once."""
    service.start()
    answered = customer.check()
    for batch in service.client.batches.list():  # also one that was made but never acknowledged
        service.ended(batch.id)
    service.stop()
    with Database.open(f"sqlite:///{next(service.folder.glob('*.db'))}") as database:
        lines = select(func.count()).select_from(usage).where(usage.c.batch)
        assert database.read_now(lambda c: c.execute(lines).scalar_one()) >= answered
        left = select(func.count()).select_from(batch_lines)
        assert database.read_now(lambda c: c.execute(left).scalar_one()) == 0
    assert not list((service.folder / "incoming").iterdir())


def test_killed_once_after_every_durable_write(service: Service) -> None:
    """Every start goes on with what the one before left, and dies at the next place."""
    customer = Customer(service)
    for place in (*of_today(BATCHES), "database.committed@3", "database.committed@9", "batch.lines@2"):
        if place == "file.expired":
            let_a_file_expire(service, customer)
        service.start(failpoint=place)
        customer.waits_for_lines = place == "batch.renewed"
        customer.num_lines = 400 if place == "batch.lines@2" else 30  # more than one commit takes
        customer.exercise()
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, customer)


def let_a_file_expire(service: Service, customer: Customer) -> None:
    service.start()
    file = service.client.files.create(
        file=("a", b"a"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    service.kill()
    customer.told.deleted.add(file.id)
    service.sql("UPDATE files SET expires_at = 1 WHERE expires_at IS NOT NULL")


@pytest.mark.parametrize("place", of_today(BATCHES_IN_TROUBLE))
def test_killed_in_trouble(service: Service, place: str) -> None:
    """Others wait for their turn, or a defect interrupts a batch: what was answered is there all the same."""
    if place == "batch.put_down":
        keys, wrong = [service.issue("api.all", project=name) for name in "ab"], "short_turns"
    else:
        keys, wrong = [service.key], "no_files"
    service.start(failpoint=place, wrong=[wrong])
    batches = {}
    for key in keys:
        service.key = key
        raw = jsonl(*(chat_line(number) for number in range(300)))
        with suppress(*GONE):
            file = service.client.files.create(file=("in.jsonl", raw), purpose="batch")
            made = service.client.batches.create(
                input_file_id=file.id, endpoint=CHAT, completion_window="24h"
            )
            batches[key] = made.id
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    service.start()
    for key, batch_id in batches.items():
        service.key = key
        batch = service.ended(batch_id)
        if place == "batch.given_up":
            assert (batch.status, batch.output_file_id) == ("failed", None)
        else:
            assert batch.status == "completed"
            assert batch.request_counts is not None
            assert batch.request_counts.completed == 300
    assert batches
    service.stop()
    service.verify()


def test_killed_at_random_moments(service: Service) -> None:
    moments = random.Random(os.environ.get("CRASH_SEED", "1"))
    customer = Customer(service, num_lines=40)
    for _ in range(ROUNDS):
        service.start()
        working = threading.Thread(target=customer.exercise)
        working.start()
        time.sleep(moments.uniform(0.0, 0.8))
        service.kill()
        working.join()
    settled(service, customer)
