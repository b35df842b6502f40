"""How much each column of each matrix matters: the mean square of what a text puts into it.

An error in column `k` of a weight adds `error * x[k]` to an output, so its square counts `mean(x[k]^2)`
times. The text runs through the packed decoder; the linear stages add up the squares as they go.
"""

from __future__ import annotations

from array import array
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from pennyweight.core import PAGE_TOKENS
from pennyweight.errors import InvalidRequestError
from pennyweight.models.load import load
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pennyweight.models.roles import MatrixRole
    from pennyweight.native import _native

WINDOW: Final = 512  # tokens that see each other
LEAST_TOKENS: Final = 256
_CHUNK: Final = 2 * PAGE_TOKENS  # tokens whose logits are in memory at once


def calibration_text() -> str:
    """A page of prose, conversation, code, tables and several languages, for whoever has no better text.

    A few thousand tokens tell nearly all: which columns carry the largest values hardly depends on the text.
    """
    return files("pennyweight.quantize").joinpath("calibration.txt").read_text(encoding="utf-8")


class Importance:
    """Mean squared inputs by tensor and its first row: the experts of one tensor have inputs of their own."""

    def __init__(self, columns: Mapping[tuple[str, int], bytes]) -> None:
        """`columns` are float32 values, one for each column."""
        self._columns = columns

    def of(self, tensor: str, first_row: int) -> bytes | None:
        """float32 `[columns]`; None if nothing is known, as of an expert that was never asked."""
        return self._columns.get((tensor, first_row))


def measure(
    path: Path, text: str, *, progress: Callable[[int, int], None], threads: int | None = None
) -> Importance:
    """Run `text` through the model at `path`. `progress` is told bytes of it.

    Raises ModelFileError for a model that this engine does not run, InvalidRequestError for too short a text.
    """
    from pennyweight.native import _native

    matrices: dict[MatrixRole, _native.PackedMatrix] = {}

    def observe(role: MatrixRole, matrix: _native.PackedMatrix) -> None:
        matrix.observe()
        matrices[role] = matrix

    loaded = load(path, packed=observe)
    tokens, num_bytes = _tokens(loaded.metadata, text), len(text.encode())
    window = min(WINDOW, loaded.spec.context_length)
    decoder = _native.Decoder(
        loaded.model, num_pages=-(-window // PAGE_TOKENS), num_threads=threads or _native.useful_threads()
    )
    for done, row in _rows(tokens, window):
        decoder.begin([row])
        while not decoder.finish(timeout_s=1.0)[1]:
            pass
        progress(num_bytes * done // len(tokens), num_bytes)
    return Importance({(role.tensor, role.first_row): _means(matrix) for role, matrix in matrices.items()})


def _tokens(metadata: Mapping[str, Any], text: str) -> list[int]:
    tokenizer = Tokenizer.from_metadata(metadata)
    tokens = tokenizer.encode(text)
    if len(tokens) < LEAST_TOKENS:
        raise InvalidRequestError(
            f"the text has {len(tokens)} tokens; at least {LEAST_TOKENS} tell which weights matter, and some "
            "ten thousand tell it well"
        )
    return tokens


def _rows(tokens: list[int], window: int) -> Iterator[tuple[int, _native.Row]]:
    """Rows that together are the text, cut in windows, and how many tokens are done with each."""
    from pennyweight.native import _native

    pages = list(range(-(-window // PAGE_TOKENS)))
    for start in range(0, len(tokens), window):
        end = min(start + window, len(tokens))
        for first in range(start, end, _CHUNK):
            last = min(first + _CHUNK, end)
            yield (
                last,
                _native.Row(
                    tokens=tokens[first:last],
                    position=first - start,
                    pages=pages,
                    logits=_native.Logits.ALL,  # or nothing would be known of the head
                ),
            )


def _means(matrix: _native.PackedMatrix) -> bytes:
    rows, sums = matrix.input_squares()
    return array("f", [value / max(rows, 1) for value in sums]).tobytes()
