"""Which type each tensor of a quantised model gets.

Vectors (norms, biases), routers and rotary tables stay as they are: they are small, and everything depends on
them. Of the others the head gets more bits than the rest, and `mixed` gives each part of a layer bits where
they count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.models.block_types import FLOAT_TYPES, block_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.gguf_header import TensorInfo

Kind = Literal["q4_0", "q4_1", "q8_0", "mixed"]

FILE_TYPES: Final[Mapping[str, int]] = {"q4_0": 2, "q4_1": 3, "q8_0": 7, "mixed": 15}
"""`general.file_type` by kind, llama.cpp's numbers; mixed says Q4_K_M, which is what it is nearest to."""

_EMBEDDING: Final = "token_embd.weight"
_HEAD: Final = "output.weight"
_KEPT: Final = ("_norm.weight", "ffn_gate_inp.weight", "rope_freqs.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A type for rows of a multiple of 256 columns, and one for rows of a multiple of 32."""

    wide: str
    narrow: str

    def of(self, columns: int) -> str | None:
        """The type for rows of so many columns; None: no type of blocks fits."""
        for name in (self.wide, self.narrow):
            if columns % block_type(name).elements == 0:
                return name
        return None


_PLAIN: Final[Mapping[str, Choice]] = {
    "q4_0": Choice(wide="Q4_0", narrow="Q4_0"),
    "q4_1": Choice(wide="Q4_1", narrow="Q4_1"),
    "q8_0": Choice(wide="Q8_0", narrow="Q8_0"),
    "mixed": Choice(wide="Q4_K", narrow="Q4_1"),
}
_HEADS: Final[Mapping[str, Choice]] = {
    "q4_0": Choice(wide="Q6_K", narrow="Q8_0"),
    "q4_1": Choice(wide="Q6_K", narrow="Q8_0"),
    "q8_0": Choice(wide="Q8_0", narrow="Q8_0"),
    "mixed": Choice(wide="Q6_K", narrow="Q5_1"),
}
_MIXED: Final[Mapping[str, Choice]] = {
    "attn_v.weight": Choice(wide="Q6_K", narrow="Q5_1"),
    "attn_k.weight": Choice(wide="Q6_K", narrow="Q5_1"),
    "attn_output.weight": Choice(wide="Q4_K", narrow="Q5_1"),
    "ffn_up.weight": Choice(wide="Q4_K", narrow="Q5_1"),
    "attn_q.weight": Choice(wide="Q4_K", narrow="IQ4_NL"),
    "ffn_gate.weight": Choice(wide="Q4_K", narrow="IQ4_NL"),
}
"""Parts of a layer whose bits save more divergence per byte than others', or less: docs/log.md."""


def types_of(tensors: Mapping[str, TensorInfo], kind: Kind) -> dict[str, str]:
    """The type of every tensor in the new file, by name."""
    return {name: _type_of(tensor, kind, tied=_HEAD not in tensors) for name, tensor in tensors.items()}


def _type_of(tensor: TensorInfo, kind: Kind, *, tied: bool) -> str:
    if not is_quantised(tensor):
        return tensor.type
    choice = _choice(tensor.name, kind, tied=tied).of(tensor.shape[-1])
    if choice is None:  # rows that are no whole blocks
        return tensor.type if tensor.type in FLOAT_TYPES - {"F32"} else "F16"
    return choice


def is_quantised(tensor: TensorInfo) -> bool:
    """Whether a tensor is a matrix of weights, or a stack of them."""
    return len(tensor.shape) > 1 and tensor.name.endswith(".weight") and not tensor.name.endswith(_KEPT)


def _choice(name: str, kind: Kind, *, tied: bool) -> Choice:
    if name == (_EMBEDDING if tied else _HEAD):
        return _HEADS[kind]
    part = ".".join(name.split(".")[-2:])
    return _MIXED.get(part, _PLAIN[kind]) if kind == "mixed" else _PLAIN[kind]
