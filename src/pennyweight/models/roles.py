"""Which tensor plays which part of the decoder: names of a file in the roles of `_native.LayerWeights`."""

from __future__ import annotations

from dataclasses import dataclass


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
class ExpertRoles:
    """The feed-forward of one expert."""

    gate: MatrixRole
    up: MatrixRole
    down: MatrixRole


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRoles:
    """One layer. Norms and biases are names of F32 vectors, None where the family has none.

    A bias has the rows of its matrix in the file: the decoder wants them mapped as those are. A layer has
    `gate`, `up` and `down`, or a `router` and `experts`.
    """

    query: MatrixRole
    key: MatrixRole
    value: MatrixRole
    output: MatrixRole
    query_bias: str | None = None
    key_bias: str | None = None
    value_bias: str | None = None
    output_bias: str | None = None
    attention_norm: str | None = None
    query_norm: str | None = None
    key_norm: str | None = None
    post_attention_norm: str | None = None
    feed_forward_norm: str | None = None
    post_feed_forward_norm: str | None = None
    gate: MatrixRole | None = None
    up: MatrixRole | None = None
    down: MatrixRole | None = None
    router: MatrixRole | None = None
    experts: tuple[ExpertRoles, ...] = ()

    @property
    def matrices(self) -> list[MatrixRole]:
        """All of the layer."""
        own = [self.query, self.key, self.value, self.output, self.gate, self.up, self.down, self.router]
        for expert in self.experts:
            own += [expert.gate, expert.up, expert.down]
        return [role for role in own if role is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderRoles:
    """A whole decoder. `head` None: the embedding is the head too."""

    layers: tuple[LayerRoles, ...]
    embedding: MatrixRole
    final_norm: str
    head: MatrixRole | None
