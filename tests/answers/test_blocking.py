"""Threads without an event loop read asynchronous answers; leaving early closes them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.blocking import BlockingLoop
from pennyweight.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator


@pytest.fixture
def blocking() -> Iterator[BlockingLoop]:
    loop = BlockingLoop()
    yield loop
    loop.close()


class Counting:
    """Counts up, and notes when it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    async def numbers(self, stop: int | None = None) -> AsyncGenerator[int]:
        try:
            number = 0
            while stop is None or number < stop:
                yield number
                number += 1
                await asyncio.sleep(0)
        finally:
            self.closed.set()


def test_all_items_in_order(blocking: BlockingLoop) -> None:
    counting = Counting()
    assert list(blocking.iterate(counting.numbers(5))) == [0, 1, 2, 3, 4]
    assert counting.closed.is_set()


def test_leaving_early_closes_the_generator(blocking: BlockingLoop) -> None:
    counting = Counting()
    for number in blocking.iterate(counting.numbers()):
        if number == 3:
            break
    assert counting.closed.wait(5)


def test_an_error_reaches_the_caller_after_what_came_before(blocking: BlockingLoop) -> None:
    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise ValueError("no more")

    items = blocking.iterate(failing())
    assert next(items) == 1
    with pytest.raises(ValueError, match="no more"):
        next(items)


def test_closing_the_loop_ends_what_runs() -> None:
    loop = BlockingLoop()
    counting = Counting()
    items = loop.iterate(counting.numbers())
    next(items)
    loop.close()
    assert counting.closed.is_set()
    with pytest.raises(EngineError, match="closed in the middle"):
        list(items)
    loop.close()


def test_run_returns_the_result(blocking: BlockingLoop) -> None:
    async def answer() -> int:
        return 42

    assert blocking.run(answer()) == 42
