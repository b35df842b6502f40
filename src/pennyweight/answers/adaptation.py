"""The adapter an answer is computed with: brought into memory if need be, and kept there until its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pennyweight.answers.tuned import TunedModel
    from pennyweight.engine.adapters import AdapterPool


class Adaptation:
    """One tuned model's adapter, among those of its base."""

    def __init__(self, pool: AdapterPool, tuned: TunedModel) -> None:
        self._pool = pool
        self._tuned = tuned

    @property
    def adapter(self) -> str | None:
        """What the engine knows it by; None: there is none."""
        return self._tuned.adapter

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """It is in memory, and stays as long as the context lasts. Raises what `AdapterPool.load` does."""
        while (lease := self._pool.lease(self._tuned.adapter)) is None:  # another may have put it out again
            await asyncio.to_thread(self._pool.load, self._tuned.adapter, self._tuned.files)
        with lease:
            yield


class NoAdaptation:
    """The model itself."""

    adapter = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        yield
