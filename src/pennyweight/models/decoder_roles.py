"""The tensors of a decoder by the names GGUF gives them, for every family in one place.

What a layer consists of follows from the spec; how a family stores it beyond that is `rotary` (the order of
the rows of queries and keys) and `projections` ("fused": queries, keys and values in one tensor, the gate
above the up projection in another, as Phi-3 does).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pennyweight.models.role_finder import RoleFinder, Rotary, rotary_row_map
from pennyweight.models.roles import DecoderRoles, ExpertRoles, LayerRoles, MatrixRole
from pennyweight.models.rope_scaling import ROPE_TENSORS

if TYPE_CHECKING:
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ExpertSpec, ModelSpec

Projections = Literal["separate", "fused"]


def decoder_roles(
    spec: ModelSpec,
    source: ModelTable,
    *,
    rotary: Rotary = "halves",
    projections: Projections = "separate",
) -> DecoderRoles:
    """Every tensor in its role; one without a role is refused by name."""
    find = RoleFinder(source.tensors)
    find.ignore(*ROPE_TENSORS)
    layers = (_Layer(find, spec, index, rotary, projections) for index in range(spec.num_layers))
    roles = DecoderRoles(
        layers=tuple(layer.roles() for layer in layers),
        embedding=find.matrix("token_embd.weight", spec.vocab_size, spec.d_model),
        final_norm=find.vector("output_norm.weight", spec.d_model),
        head=find.optional_matrix("output.weight", spec.vocab_size, spec.d_model),
    )
    find.finish()
    return roles


@dataclass(frozen=True, slots=True)
class _Layer:
    find: RoleFinder
    spec: ModelSpec
    index: int
    rotary: Rotary
    projections: Projections

    def roles(self) -> LayerRoles:
        spec, d_model = self.spec, self.spec.d_model
        query_dim, key_dim = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        per_head = spec.qk_norm == "head"
        query, key, value = self._attention(query_dim, key_dim)
        roles = LayerRoles(
            query=self._rotated(query, spec.num_heads),
            key=self._rotated(key, spec.num_kv_heads),
            value=value,
            output=self._matrix("attn_output", d_model, query_dim),
            query_bias=self._bias("attn_q", query_dim, there=spec.biases),
            key_bias=self._bias("attn_k", key_dim, there=spec.biases),
            value_bias=self._bias("attn_v", key_dim, there=spec.biases),
            output_bias=self._bias("attn_output", d_model, there=spec.biases and self._has_output_bias),
            attention_norm=self._norm("attn_norm", d_model, there=spec.pre_norms),
            query_norm=self._norm(
                "attn_q_norm", spec.head_dim if per_head else query_dim, there=spec.qk_norm != "none"
            ),
            key_norm=self._norm(
                "attn_k_norm", spec.head_dim if per_head else key_dim, there=spec.qk_norm != "none"
            ),
            post_attention_norm=self._norm("post_attention_norm", d_model, there=spec.post_norms),
            feed_forward_norm=self._norm("ffn_norm", d_model, there=spec.pre_norms),
            post_feed_forward_norm=self._norm("post_ffw_norm", d_model, there=spec.post_norms),
        )
        return self._with_feed_forward(roles)

    def _attention(self, query_dim: int, key_dim: int) -> list[MatrixRole]:
        d_model = self.spec.d_model
        if self.projections == "fused":
            return self.find.stacked(self._name("attn_qkv"), (query_dim, key_dim, key_dim), d_model)
        rows = {"attn_q": query_dim, "attn_k": key_dim, "attn_v": key_dim}
        return [self._matrix(part, count, d_model) for part, count in rows.items()]

    def _with_feed_forward(self, roles: LayerRoles) -> LayerRoles:
        spec = self.spec
        if spec.experts is not None:
            router = self._matrix("ffn_gate_inp", spec.experts.count, spec.d_model)
            return replace(roles, router=router, experts=self._experts(spec.experts))
        if self.projections == "fused":
            gate, up = self.find.stacked(self._name("ffn_up"), (spec.d_ff, spec.d_ff), spec.d_model)
        else:
            gate, up = (self._matrix(part, spec.d_ff, spec.d_model) for part in ("ffn_gate", "ffn_up"))
        return replace(roles, gate=gate, up=up, down=self._matrix("ffn_down", spec.d_model, spec.d_ff))

    def _experts(self, experts: ExpertSpec) -> tuple[ExpertRoles, ...]:
        d_model = self.spec.d_model
        gate, up, down = (
            self._of_each_expert(part, experts.count, rows, columns)
            for part, rows, columns in (
                ("ffn_gate", experts.d_ff, d_model),
                ("ffn_up", experts.d_ff, d_model),
                ("ffn_down", d_model, experts.d_ff),
            )
        )
        return tuple(ExpertRoles(gate=g, up=u, down=d) for g, u, d in zip(gate, up, down, strict=True))

    def _of_each_expert(self, part: str, count: int, rows: int, columns: int) -> list[MatrixRole]:
        """One tensor for all, or, in files of before April 2024, one for each."""
        if self._name(f"{part}.0") in self.find:
            return [self._matrix(f"{part}.{index}", rows, columns) for index in range(count)]
        return self.find.slices(self._name(f"{part}_exps"), count, rows, columns)

    def _rotated(self, matrix: MatrixRole, num_heads: int) -> MatrixRole:
        """The matrix, found by now: a map is made of no size that no tensor has."""
        head_dim = self.spec.head_dim
        rotary_dim = 2 * sum(frequency != 0.0 for frequency in self.spec.ropes[0].inverse_frequencies)
        return replace(matrix, row_map=rotary_row_map(num_heads, head_dim, rotary_dim, self.rotary))

    @property
    def _has_output_bias(self) -> bool:
        return f"blk.{self.index}.attn_output.bias" in self.find

    def _name(self, part: str) -> str:
        return f"blk.{self.index}.{part}.weight"

    def _matrix(self, part: str, rows: int, columns: int) -> MatrixRole:
        return self.find.matrix(self._name(part), rows, columns)

    def _norm(self, part: str, size: int, *, there: bool) -> str | None:
        return self.find.vector(self._name(part), size) if there else None

    def _bias(self, part: str, size: int, *, there: bool) -> str | None:
        return self.find.vector(f"blk.{self.index}.{part}.bias", size) if there else None
