"""Killed after every durable write and at random moments: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from pennyweight.store.database import Database
from pennyweight.store.failpoints import FAILPOINTS
from pennyweight.store.tables.batches import batch_lines
from pennyweight.store.tables.usage import usage
from tests.jobs.service import Customer, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "6"))  # `make crash` runs 50
SERVED = tuple(name for name in FAILPOINTS if name.startswith(("batch.", "file.", "blob.")))
"""The failpoints that a server with files and batches reaches; those of the database are proven with it."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


def settled(service: Service, customer: Customer) -> None:
    """Started for the last time: all that was acknowledged is there, and every line was counted once."""
    service.start()
    answered = customer.check()
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
    for place in (*SERVED, "database.committed@3", "database.committed@9", "batch.lines@2"):
        service.start(failpoint=place)
        customer.num_lines = 400 if place == "batch.lines@2" else 30  # more than one commit takes
        customer.exercise()
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, customer)


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
