"""Which chunks answer a query: those that share its words and those that mean the same, in one order.

Both scores lie between 0 and 1 for every query (a cosine; BM25 over the most it could be), so a weighted sum
of them means the same everywhere and a threshold can be set on it: Bruch, Gai and Ingber, "An Analysis of
Fusion Functions for Hybrid Retrieval", 2022. `docs/benchmarks.md` has the measurements behind the numbers.
"""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pennyweight.native import _native
from pennyweight.retrieval.words import Weights, rarity, words_of
from pennyweight.store.chunk_search import ChunkSearch
from pennyweight.store.text_index import TextIndex

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.chunk_search import FoundChunk

MEANING_WEIGHT: Final = 0.3
"""Where the encoder knows every word of a query."""
LEAST_FAMILIARITY: Final = 0.5
"""Below it words alone count: an encoder that does not know most of a query does harm."""
NUM_CANDIDATES: Final = 100
"""Of either kind: the best of them are in the order of their sum."""
_MAX_QUERY_WORDS: Final = 64
_MAX_SCORED: Final = 2000  # chunks whose words are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A query's vector (float32), whose it is, and how far that encoder knows its words, from 0 to 1."""

    vector: bytes
    encoder: str
    familiarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A text, and what it means where there is an encoder."""

    text: str
    meaning: Meaning | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A chunk and how well it fits, from 0 to 1."""

    chunk: FoundChunk
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How much meaning counts, from 0 to 1, words being the rest; None: as the encoder knows the words."""

    meaning: float | None = None

    def of(self, query: Query) -> float:
        """The part of meaning for one query."""
        if query.meaning is None:
            return 0.0
        if self.meaning is not None:
            return self.meaning
        known = query.meaning.familiarity
        return MEANING_WEIGHT * known if known >= LEAST_FAMILIARITY else 0.0


@dataclass(slots=True, kw_only=True)
class _Near:
    """Similarities of all chunks with a vector, by their files' runs."""

    runs: dict[int, list[tuple[int, array[float]]]] = field(default_factory=dict)

    def of(self, chunk: FoundChunk) -> float:
        for first, similarities in self.runs.get(chunk.file_number, ()):
            if 0 <= chunk.place - first < len(similarities):
                return max(0.0, similarities[chunk.place - first])
        return 0.0

    def best(self, count: int) -> list[tuple[int, int]]:
        """File numbers and places."""
        every = (
            (similarity, file_number, first + index)
            for file_number, runs in self.runs.items()
            for first, similarities in runs
            for index, similarity in enumerate(similarities)
        )
        return [(file_number, place) for _, file_number, place in heapq.nlargest(count, every)]


class Ranking:
    """`stores` are numbers; `files` the only files wanted, None: all."""

    def __init__(self, connection: Connection, stores: Sequence[int], files: Collection[int] | None) -> None:
        self._connection = connection
        self._stores = stores
        self._files = files
        self._search = ChunkSearch()
        self._index = TextIndex()
        self._size = self._search.size(connection, stores)

    @property
    def num_chunks(self) -> int:
        """How many there are to be ranked."""
        return self._size.num_chunks

    def best(self, query: Query, count: int, mix: Mix) -> list[Ranked]:
        """The `count` best, best first; chunks that nothing speaks for are left out."""
        if self._size.num_chunks == 0:
            return []
        near = self._near(query)
        weights, having = self._by_words(query.text)
        found = {chunk.number: chunk for chunk in self._search.by_number(self._connection, having)}
        by_words = {number: weights.score(chunk.words, chunk.num_words) for number, chunk in found.items()}
        numbers = heapq.nlargest(max(count, NUM_CANDIDATES), by_words, key=by_words.__getitem__)
        best = {number: found[number] for number in numbers}
        for chunk in self._search.by_place(self._connection, near.best(max(count, NUM_CANDIDATES))):
            best[chunk.number] = chunk
            if chunk.number not in by_words:
                by_words[chunk.number] = weights.score(chunk.words, chunk.num_words)
        meaning, most = mix.of(query), weights.most or 1.0
        ranked = [
            Ranked(
                chunk=chunk,
                score=meaning * near.of(chunk) + (1 - meaning) * by_words[number] / most,
            )
            for number, chunk in best.items()
        ]
        ranked.sort(key=lambda one: (-one.score, one.chunk.number))
        return [one for one in ranked[:count] if one.score > 0]

    def _near(self, query: Query) -> _Near:
        near = _Near()
        if query.meaning is None:
            return near
        for run in self._search.vectors(self._connection, self._stores, encoder=query.meaning.encoder):
            if self._files is None or run.file_number in self._files:
                similarities = array("f")
                similarities.frombytes(_native.similarities(query.meaning.vector, run.vectors))
                near.runs.setdefault(run.file_number, []).append((run.first, similarities))
        return near

    def _by_words(self, text: str) -> tuple[Weights, list[int]]:
        """What the query's words are worth, and the chunks that have any of the rarer ones."""
        words = list(dict.fromkeys(words_of(text)))[:_MAX_QUERY_WORDS]
        counts = self._index.nums_with(self._connection, self._stores, words)
        num_chunks = self._size.num_chunks
        weights = Weights(
            of_word={word: rarity(count, num_chunks) for word, count in counts.items() if count},
            mean_words=max(1.0, self._size.num_words / num_chunks),
        )
        rare: list[str] = []
        for word in sorted(weights.of_word, key=counts.__getitem__):
            if rare and sum(counts[one] for one in rare) + counts[word] > _MAX_SCORED:
                break
            rare.append(word)
        if not rare:
            return weights, []
        # Of a filter's files few may be among the first: then all that have the words are looked through.
        limit = _MAX_SCORED if self._files is None else num_chunks
        found = self._index.chunks_with(self._connection, self._stores, rare, limit=limit)
        wanted = [number for number, file in found if self._files is None or file in self._files]
        return weights, wanted[:_MAX_SCORED]
