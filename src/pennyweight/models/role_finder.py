"""Tensors taken from a model's table by name and shape; missing, misshapen or left over ones are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pennyweight.errors import ModelFileError
from pennyweight.models.roles import MatrixRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.models.gguf_header import TensorInfo

Rotary = Literal["interleaved", "halves"]


class RoleFinder:
    """Takes every tensor once; ModelFileError for a missing, misshapen or unknown one."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._unused = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._unused

    def vector(self, name: str, size: int) -> str:
        """An F32 vector of `size` elements."""
        tensor = self._take(name, (size,))
        if tensor.type != "F32":
            raise ModelFileError(
                f"tensor {name!r} has the type {tensor.type}; norms and biases are expected as F32"
            )
        return name

    def matrix(self, name: str, rows: int, columns: int) -> MatrixRole:
        """A matrix of `rows` outputs and `columns` inputs."""
        self._take(name, (rows, columns))
        return MatrixRole(tensor=name, rows=rows, columns=columns)

    def optional_matrix(self, name: str, rows: int, columns: int) -> MatrixRole | None:
        """The same, None if the file has no such tensor."""
        return self.matrix(name, rows, columns) if name in self else None

    def stacked(self, name: str, rows: Iterable[int], columns: int) -> list[MatrixRole]:
        """Matrices of the same input, one above the other in one tensor."""
        parts: list[MatrixRole] = []
        first = 0
        for count in rows:
            parts.append(MatrixRole(tensor=name, rows=count, columns=columns, first_row=first))
            first += count
        self._take(name, (first, columns))
        return parts

    def slices(self, name: str, count: int, rows: int, columns: int) -> list[MatrixRole]:
        """The matrices of a tensor `[count, rows, columns]`."""
        self._take(name, (count, rows, columns))
        return [
            MatrixRole(tensor=name, rows=rows, columns=columns, first_row=index * rows)
            for index in range(count)
        ]

    def ignore(self, *names: str) -> None:
        """Tensors that were read while the model was described."""
        for name in names:
            self._unused.pop(name, None)

    def finish(self) -> None:
        """Refuse tensors that play no part: a bias or an expert left out would change every answer."""
        for name in self._unused:
            raise ModelFileError(
                f"tensor {name!r} has no part in this engine's decoder; use another model file"
            )

    def _take(self, name: str, shape: tuple[int, ...]) -> TensorInfo:
        tensor = self._unused.pop(name, None)
        if tensor is None:
            raise ModelFileError(f"the tensor {name!r} is missing; the file is not a complete model")
        if tensor.shape != shape:
            raise ModelFileError(f"tensor {name!r} has the shape {tensor.shape}; expected {shape}")
        return tensor


def rotary_row_map(num_heads: int, head_dim: int, rotary_dim: int, rotary: Rotary) -> tuple[int, ...] | None:
    """For each row of the decoder's queries or keys the row of the file's; None: they are the same.

    The decoder turns rows `i` and `i + head_dim / 2` of a head together. A file for interleaved rotation
    turns `2 i` and `2 i + 1`; one in halves `i` and `i + rotary_dim / 2`, after which come rows that do not
    turn. Dot products do not see the order as long as queries and keys share it.
    """
    if rotary == "interleaved":
        one_head = [*range(0, head_dim, 2), *range(1, head_dim, 2)]
    elif rotary_dim == head_dim:
        return None
    else:
        half, still = rotary_dim // 2, range(rotary_dim, head_dim)
        middle = len(still) // 2
        one_head = [*range(half), *still[:middle], *range(half, rotary_dim), *still[middle:]]
    return tuple(head * head_dim + row for head in range(num_heads) for row in one_head)
