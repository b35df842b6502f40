"""Synchronous callers of the one asynchronous way to an answer: a private event loop on its own thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError
from contextlib import aclosing
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from pennyweight.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterator
    from concurrent.futures import Future

T = TypeVar("T")


class BlockingLoop:
    """Runs coroutines for threads without an event loop; ends with `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pennyweight-answers", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Wait for `work`; an interrupt of the waiting thread cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T]) -> Iterator[T]:
        """The items as they come; leaving the iteration early closes the generator."""
        if self._loop.is_closed():
            raise EngineError("this engine is closed; open another one")
        arrived: SimpleQueue[T | None] = SimpleQueue()
        future = asyncio.run_coroutine_threadsafe(_pump(items, arrived), self._loop)
        future.add_done_callback(lambda _: arrived.put(None))
        try:
            while (item := arrived.get()) is not None:
                yield item
            _raise_what_ended(future)
        finally:
            future.cancel()

    def close(self) -> None:
        """Cancel what runs and stop the loop; harmless twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _raise_what_ended(future: Future[None]) -> None:
    try:
        future.result()
    except CancelledError:
        raise EngineError("the engine was closed in the middle of this answer") from None


async def _pump(items: AsyncGenerator[T], arrived: SimpleQueue[T | None]) -> None:
    async with aclosing(items):
        async for item in items:
            arrived.put(item)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
