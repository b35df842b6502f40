"""Searching vector stores: a query in, passages out, best first."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pennyweight.answers.passages import Passage
from pennyweight.errors import InvalidRequestError, PennyweightError
from pennyweight.retrieval.metering import SEARCH, Client
from pennyweight.retrieval.ranking import Mix, Query, Ranking
from pennyweight.store.chunk_search import ChunkSearch
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pennyweight.answers.principal import Principal
    from pennyweight.retrieval.encoding import ChunkEncoder
    from pennyweight.retrieval.filters import Filter
    from pennyweight.retrieval.ranking import Ranked
    from pennyweight.store.database import Database
    from pennyweight.store.vector_store import VectorStore

_USED_AGAIN_S: Final = 60  # a store's last use is written down no more often
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for. A passage's score is the best it has for any of `queries`."""

    queries: Sequence[str]
    max_results: int = 10
    filter: Filter | None = None
    threshold: float = 0.0
    mix: Mix = field(default_factory=Mix)


class Searcher:
    """`search` may be called from any event loop."""

    def __init__(self, database: Database, encoder: ChunkEncoder) -> None:
        self._database = database
        self.encoder = encoder

    async def search(self, principal: Principal, store_ids: Sequence[str], wanted: Wanted) -> list[Passage]:
        """Raises NotFoundError for another project's store, InvalidRequestError for an expired one."""
        now, project = int(time.time()), principal.project
        client = Client(project=project, key=principal.key, endpoint=SEARCH)
        stores = await self._database.read(lambda c: _stores(c, project, store_ids, now))
        queries = await asyncio.gather(*(self.encoder.encode_query(text, client) for text in wanted.queries))
        found = await self._database.read(lambda c: _passages(c, stores, queries, wanted))
        await self._note_use([store for store in stores if store.last_active_at + _USED_AGAIN_S <= now], now)
        return found

    async def _note_use(self, stores: Sequence[VectorStore], now: int) -> None:
        if not stores:
            return
        try:
            await self._database.write(
                lambda c: VectorStores().touch(c, stores, now=now), at="vector_store.used"
            )
        except PennyweightError as error:  # a full disk takes no answer away
            _log.warning("the use of a vector store could not be written down: %s", error.message)


def _stores(connection: Connection, project_id: str, store_ids: Sequence[str], now: int) -> list[VectorStore]:
    stores = [VectorStores().get(connection, project_id, one) for one in dict.fromkeys(store_ids)]
    for store in stores:
        if store.has_expired(now):
            message = f"The vector store '{store.id}' has expired; put its files into a new one."
            raise InvalidRequestError(message, param="vector_store_id")
    return stores


def _passages(
    connection: Connection, stores: Sequence[VectorStore], queries: Sequence[Query], wanted: Wanted
) -> list[Passage]:
    numbers = [store.number for store in stores]
    files = None
    if wanted.filter is not None:
        every = ChunkSearch().files(connection, numbers)
        files = {file.number for file in every if wanted.filter.matches(file.attributes or {})}
    ranking = Ranking(connection, numbers, files)
    best: dict[int, Ranked] = {}
    for query in queries:
        for one in ranking.best(query, wanted.max_results, wanted.mix):
            known = best.get(one.chunk.number)
            if one.score >= wanted.threshold and (known is None or known.score < one.score):
                best[one.chunk.number] = one
    ranked = sorted(best.values(), key=lambda one: (-one.score, one.chunk.number))[: wanted.max_results]
    sources = ChunkSearch().sources(connection, {one.chunk.file_number for one in ranked})
    return [
        Passage(
            file_id=file.id,
            filename=name,
            text=one.chunk.text,
            score=min(1.0, one.score),
            attributes=file.attributes or {},
        )
        for one in ranked
        for file, name in [sources[one.chunk.file_number]]
    ]
