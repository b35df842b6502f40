"""Vectors of chunks and queries from the server's encoder, as they are kept; without one, words decide."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final, Protocol

from pennyweight.native import _native
from pennyweight.retrieval.metering import VectorUse
from pennyweight.retrieval.ranking import Meaning, Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from pennyweight.answers.embedding import Embedder
    from pennyweight.retrieval.metering import Client, Meter

_WINDOW: Final = 254  # tokens of a chunk where no encoder says better: as the default encoder
_CHARS_PER_TOKEN: Final = 4  # of English, where nobody counts
_MAX_CHARS_PER_TOKEN: Final = 12  # a word of any length may be one unknown token


_MOST_LOOKED_AT: Final = 1000  # characters of a query
_WORD: Final = re.compile(r"\w+")


class EncoderSource(Protocol):
    """The server's encoder, opened when it is first needed."""

    @property
    def name(self) -> str: ...
    @property
    def offered(self) -> bool: ...
    def embedder(self) -> Future[Embedder]: ...


class ChunkEncoder:
    """Any thread may use it. `meter` is told what each use took."""

    def __init__(self, source: EncoderSource, *, meter: Meter) -> None:
        self._source = source
        self._meter = meter

    @property
    def name(self) -> str | None:
        """None: there is no encoder here."""
        return self._source.name if self._source.offered else None

    @property
    def window(self) -> int:
        """Tokens that one vector stands for; opens the encoder."""
        return self._embedder().content_tokens if self._source.offered else _WINDOW

    def num_tokens(self, text: str) -> int:
        """Tokens of `text`; opens the encoder."""
        if not self._source.offered:
            return -(-len(text) // _CHARS_PER_TOKEN)
        return max(self._embedder().num_tokens(text), len(text) // _MAX_CHARS_PER_TOKEN)

    def encode(self, texts: Sequence[str], client: Client) -> bytes:
        """Their vectors, one after the other, in Q8_0 blocks; nothing without an encoder.

        Raises OverloadedError, EngineError, what opening an encoder does, and what `Meter` does.
        """
        if not self._source.offered:
            return b""
        embedder, began_s = self._embedder(), time.monotonic()
        made = embedder.embed(texts)
        self._note(client, made.num_tokens, began_s)
        return _native.to_q8_0(b"".join(made.vectors), type="F32")

    async def encode_query(self, text: str, client: Client) -> Query:
        """Raises as `encode`."""
        if not self._source.offered:
            return Query(text=text)
        embedder = await asyncio.wrap_future(self._source.embedder())
        began_s = time.monotonic()
        windows = await asyncio.to_thread(embedder.cut, [text])
        data = await asyncio.wrap_future(embedder.start(windows))
        (vector,) = embedder.finish(windows, data, dimensions=None).vectors
        self._note(client, windows.num_tokens, began_s)
        meaning = Meaning(vector=vector, encoder=self._source.name, familiarity=_familiarity(text, embedder))
        return Query(text=text, meaning=meaning)

    def _note(self, client: Client, num_tokens: int, began_s: float) -> None:
        total_s = time.monotonic() - began_s
        use = VectorUse(client=client, model=self._source.name, num_tokens=num_tokens, total_s=total_s)
        self._meter(use)

    def _embedder(self) -> Embedder:
        return self._source.embedder().result()


def _familiarity(text: str, embedder: Embedder) -> float:
    """The part of a query's letters in words the encoder knows whole: near 1 in its own languages."""
    words = _WORD.findall(text[:_MOST_LOOKED_AT])
    known = sum(len(word) for word in words if len(word) > 1 and embedder.knows(word))
    return known / max(1, sum(map(len, words)))
