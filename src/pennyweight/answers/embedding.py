"""`Embedder`: texts or token ids in, one unit vector for each out.

Three steps, so that a server can keep them off its event loop: `cut` (tokens and windows), `start` (the
encoder's thread), `finish` (windows to one vector each). `embed` does all three for a waiting caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.embedding_queue import EmbeddingQueue
from pennyweight.answers.embedding_windows import WindowCutter
from pennyweight.answers.fields import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.embedding_queue import EmbeddingStats, NativeEncoder
    from pennyweight.answers.embedding_schema import Input
    from pennyweight.answers.embedding_waiting import EncoderWork
    from pennyweight.answers.embedding_windows import Windows
    from pennyweight.core import Priority
    from pennyweight.engine.core_turns import CoreTurns
    from pennyweight.text.encoder_tokenizer import EncoderTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """One vector per input, in their order: float32 little-endian, of length 1."""

    vectors: tuple[bytes, ...]
    num_tokens: int


class Embedder:
    """One encoder, used from any number of threads and event loops at once. `close` ends its thread."""

    def __init__(
        self,
        encoder: NativeEncoder,
        tokenizer: EncoderTokenizer,
        *,
        window: int,
        width: int,
        cores: CoreTurns,
    ) -> None:
        """`window`: tokens of the longest text, opening and closing ones included; `width`: of a vector."""
        self.width = width
        self.content_tokens = window - 2
        """Most tokens of a text whose vector is not the mean over several windows."""
        self._tokenizer = tokenizer
        self._cutter = WindowCutter(tokenizer, window=window)
        self._queue = EmbeddingQueue(encoder, cores=cores)

    def embed(self, inputs: Sequence[Input], *, dimensions: int | None = None) -> Embeddings:
        """Raises ParameterError for what cannot be a token or a size, OverloadedError, EngineError."""
        self.check_dimensions(dimensions)
        windows = self.cut(inputs)
        return self.finish(windows, self.start(windows).result(), dimensions=dimensions)

    def num_tokens(self, text: str) -> int:
        """Tokens of `text`, without the two around it. Raises InvalidRequestError for what is no Unicode."""
        return sum(map(len, self._tokenizer.encode(text)))

    def knows(self, word: str) -> bool:
        """Whether the encoder's vocabulary has `word` in one piece."""
        ids = [token for run in self._tokenizer.encode(word) for token in run]
        return len(ids) == 1 and ids[0] != self._tokenizer.unknown

    def check_dimensions(self, dimensions: int | None) -> None:
        """Raise ParameterError for more numbers than the encoder's vectors have."""
        if dimensions is not None and not 1 <= dimensions <= self.width:
            message = (
                f"Invalid 'dimensions': {dimensions} is out of range; "
                f"this encoder's vectors have {self.width} numbers."
            )
            raise ParameterError(message, param="dimensions", code="integer_above_max_value")

    def cut(self, inputs: Sequence[Input]) -> Windows:
        """Tokens of all inputs; takes time in proportion to the text. Raises ParameterError."""
        return self._cutter.cut(inputs)

    def start(self, windows: Windows, *, priority: Priority = "interactive") -> EncoderWork:
        """The vectors of the windows; cancelling the future stops the work. Raises OverloadedError."""
        return self._queue.put(windows.tokens, priority=priority)

    def finish(self, windows: Windows, data: bytes, *, dimensions: int | None) -> Embeddings:
        """One vector per input from the encoder's `data`."""
        from pennyweight.native import _native

        vector_bytes = 4 * self.width
        vectors = []
        first = 0
        for count in windows.of_input:
            own = windows.tokens[first : first + count]
            part = data[first * vector_bytes : (first + count) * vector_bytes]
            weights = list(map(len, own))
            vectors.append(
                _native.combine(part, weights=weights, width=self.width, dimensions=dimensions or self.width)
            )
            first += count
        return Embeddings(vectors=tuple(vectors), num_tokens=windows.num_tokens)

    def stats(self) -> EmbeddingStats:
        """What was embedded so far."""
        return self._queue.stats()

    def close(self) -> None:
        """End the encoder's thread; what waits fails. Harmless twice."""
        self._queue.close()
