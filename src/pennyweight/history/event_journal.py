"""The events of one answer on their way to whoever follows it: stored first, then told of.

While some are being written the next ones come together, so a slow disk makes portions larger, not answers
slower. What nobody asked to follow is not written.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pennyweight.history.wire_items import wire_text
from pennyweight.store.events import Event, Events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.history.work import Claimed
    from pennyweight.store.database import Database


class EventJournal:
    """Events have their `sequence_number`s already."""

    def __init__(self, database: Database, claimed: Claimed, *, streams: bool) -> None:
        self._database = database
        self._claimed = claimed
        self._streams = streams
        self._waiting: list[Event] = []
        self._writing: asyncio.Task[None] | None = None

    def tell(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Returns at once. Raises what writing earlier ones has: LeaseLostError, StorageFullError."""
        if self._writing is not None and self._writing.done():
            self._writing.result()
            self._writing = None
        for payload in payloads:
            if self._streams:
                number = payload["sequence_number"]
                self._waiting.append(Event(sequence_number=number, wire=wire_text(payload)))
        if self._waiting and self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def rest(self) -> list[Event]:
        """What is not written yet, for the transaction that ends the answer. Raises as `tell`."""
        rest, self._waiting = self._waiting, []
        if self._writing is not None:
            await self._writing
            self._writing = None
        return rest

    async def close(self) -> None:
        """Write nothing more."""
        self._waiting = []
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while self._waiting:
            portion, self._waiting = self._waiting, []
            await self._database.write(partial(self._append, portion=portion), at="generation.events")
            self._claimed.told()

    def _append(self, connection: Connection, *, portion: Sequence[Event]) -> None:
        Events().append(connection, self._claimed.lease, portion, now=int(time.time()))
