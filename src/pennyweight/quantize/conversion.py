"""A tensor's rows in another type, some at a time, by several threads, in order.

The compiled `requantize` does the work without the interpreter; at most two pieces for each thread are under
way, so the memory is a few megabytes whatever the model's size.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Final, Self

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.models.gguf_writer import NewTensor
    from pennyweight.models.source import WeightSource
    from pennyweight.quantize.importance import Importance

PIECE_BYTES: Final = 1 << 20  # of the source, read and converted at a time


class Conversion:
    """Converts tensors of one source on threads that end with its context."""

    def __init__(self, source: WeightSource, importance: Importance | None, *, threads: int) -> None:
        self._source = source
        self._importance = importance
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pennyweight-quantize")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def pieces(self, target: NewTensor) -> Iterator[bytes]:
        """The bytes of the tensor in its new type. Raises ModelFileError for values no type can hold."""
        runs = self._runs(target)
        earlier: Iterator[bytes] = iter(())
        while some := list(islice(runs, self._threads)):
            begun = self._pool.map(lambda run: self._converted(target, *run), some)
            yield from earlier
            earlier = begun
        yield from earlier

    def _runs(self, target: NewTensor) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each piece; none reaches over into the next of stacked matrices."""
        rows = prod(target.shape[:-1])
        own = target.shape[-2] if len(target.shape) > 1 else 1
        most = max(1, PIECE_BYTES // self._row_bytes(target))
        for matrix in range(0, rows, own):
            for first in range(matrix, matrix + own, most):
                yield first, min(most, matrix + own - first)

    def _row_bytes(self, target: NewTensor) -> int:
        return self._source.nbytes(target.name) // prod(target.shape[:-1])

    def _converted(self, target: NewTensor, first_row: int, rows: int) -> bytes:
        from pennyweight.native import _native

        row_bytes = self._row_bytes(target)
        data = bytearray(rows * row_bytes)
        self._source.read_into(target.name, memoryview(data), start=first_row * row_bytes)
        own_type = self._source.tensors[target.name].type
        if own_type == target.type:
            return bytes(data)
        try:
            return _native.requantize(
                data,
                type=own_type,
                to=target.type,
                columns=target.shape[-1],
                importance=self._weights(target, first_row),
            )
        except ValueError as error:
            raise ModelFileError(f"{self._source.path.name}: tensor {target.name!r}: {error}") from error

    def _weights(self, target: NewTensor, first_row: int) -> bytes | None:
        if self._importance is None or len(target.shape) < 2:
            return None
        matrix = first_row // target.shape[-2] * target.shape[-2]
        return self._importance.of(target.name, matrix)
