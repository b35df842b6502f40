"""Which tensor of a file plays which part of the decoder, with shapes checked and nothing left over.

The names are those of GGUF files (`blk.N.attn_q.weight`); the roles are those of `_native.LayerWeights`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRole:
    """`[rows, columns]` of a tensor from its row `first_row` on; a tensor `[n, r, c]` counts as `[n * r, c]`.

    Row `i` of the decoder's matrix is row `row_map[i]` of these.
    """

    tensor: str
    rows: int
    columns: int
    first_row: int = 0
    row_map: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRoles:
    """One layer; norms are names of F32 vectors, None where the architecture has none."""

    attention_norm: str
    query: MatrixRole
    key: MatrixRole
    value: MatrixRole
    output: MatrixRole
    feed_forward_norm: str
    gate: MatrixRole
    up: MatrixRole
    down: MatrixRole
    query_norm: str | None = None
    key_norm: str | None = None
    post_attention_norm: str | None = None
    post_feed_forward_norm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderRoles:
    """A whole decoder. `head` None: the embedding is the head too."""

    layers: tuple[LayerRoles, ...]
    embedding: MatrixRole
    final_norm: str
    head: MatrixRole | None


class RoleFinder:
    """Takes tensors by name and shape; ModelFileError for a missing, misshapen or unknown one."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._unused = dict(tensors)

    def vector(self, name: str, size: int) -> str:
        """An F32 vector of `size` elements."""
        tensor = self._take(name, (size,))
        if tensor.type != "F32":
            raise ModelFileError(f"tensor {name!r} has the type {tensor.type}; norms are expected as F32")
        return name

    def matrix(self, name: str, rows: int, columns: int) -> MatrixRole:
        """A matrix of `rows` outputs and `columns` inputs."""
        self._take(name, (rows, columns))
        return MatrixRole(tensor=name, rows=rows, columns=columns)

    def heads(
        self, name: str, num_heads: int, head_dim: int, columns: int, *, interleaved: bool
    ) -> MatrixRole:
        """A matrix of `num_heads` times `head_dim` outputs, put into halves order if stored interleaved."""
        matrix = self.matrix(name, num_heads * head_dim, columns)  # checked before a map of that size is made
        return replace(matrix, row_map=interleaved_row_map(num_heads, head_dim)) if interleaved else matrix

    def optional_matrix(self, name: str, rows: int, columns: int) -> MatrixRole | None:
        """The same, None if the file has no such tensor."""
        return self.matrix(name, rows, columns) if name in self._unused else None

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


def decoder_roles(spec: ModelSpec, source: ModelTable, *, interleaved: bool = False) -> DecoderRoles:
    """Every tensor in its role. `interleaved`: the rows of queries and keys are stored for such rotation."""
    find = RoleFinder(source.tensors)
    roles = DecoderRoles(
        layers=tuple(_layer(find, spec, index, interleaved) for index in range(spec.num_layers)),
        embedding=find.matrix("token_embd.weight", spec.vocab_size, spec.d_model),
        final_norm=find.vector("output_norm.weight", spec.d_model),
        head=find.optional_matrix("output.weight", spec.vocab_size, spec.d_model),
    )
    find.finish()
    return roles


def interleaved_row_map(num_heads: int, head_dim: int) -> tuple[int, ...]:
    """For each row of halves order, the row of interleaved order that holds it.

    A file for interleaved rotation turns rows `2 i` and `2 i + 1` of a head together, the decoder rows `i`
    and `i + head_dim / 2`. Dot products do not see the order as long as queries and keys share it.
    """
    one_head = [*range(0, head_dim, 2), *range(1, head_dim, 2)]
    return tuple(head * head_dim + row for head in range(num_heads) for row in one_head)


def _layer(find: RoleFinder, spec: ModelSpec, index: int, interleaved: bool) -> LayerRoles:
    def name(part: str) -> str:
        return f"blk.{index}.{part}.weight"

    d_model, d_ff, head_dim = spec.d_model, spec.d_ff, spec.head_dim
    return LayerRoles(
        attention_norm=find.vector(name("attn_norm"), d_model),
        query=find.heads(name("attn_q"), spec.num_heads, head_dim, d_model, interleaved=interleaved),
        key=find.heads(name("attn_k"), spec.num_kv_heads, head_dim, d_model, interleaved=interleaved),
        value=find.matrix(name("attn_v"), spec.num_kv_heads * head_dim, d_model),
        output=find.matrix(name("attn_output"), d_model, spec.num_heads * head_dim),
        feed_forward_norm=find.vector(name("ffn_norm"), d_model),
        gate=find.matrix(name("ffn_gate"), d_ff, d_model),
        up=find.matrix(name("ffn_up"), d_ff, d_model),
        down=find.matrix(name("ffn_down"), d_model, d_ff),
        query_norm=find.vector(name("attn_q_norm"), head_dim) if spec.qk_norm == "head" else None,
        key_norm=find.vector(name("attn_k_norm"), head_dim) if spec.qk_norm == "head" else None,
        post_attention_norm=find.vector(name("post_attention_norm"), d_model) if spec.post_norms else None,
        post_feed_forward_norm=find.vector(name("post_ffw_norm"), d_model) if spec.post_norms else None,
    )
