"""How large a decoder is, from its shape alone: parameters, the bytes of a GGUF file, the outline of a model.

A file's bytes follow the recipe that llama.cpp quantises by and that people publish: which matrices of a
Q4_K_M file have six bits, and what stands in where a row is no multiple of 256. They are right to a few
percent; a vocabulary's length in bytes is an average.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.models.block_types import BLOCK_TYPES
from pennyweight.models.outline import ModelOutline
from pennyweight.models.spec import LayerSpec, ModelSpec, RopeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

FileType = Literal["Q4_K_M", "Q8_0"]

_BLOCKS: Final = {block.name: block for block in BLOCK_TYPES.values()}
_STAND_IN: Final = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
_VOCABULARY_BYTES: Final = 38  # of one token in a file: text, type, merge and their lengths


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderShape:
    """What a model's size follows from.

    `head` is the output matrix: the embedding's (tied), that once more in the file (copied), or another.
    """

    vocab_size: int
    d_model: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    d_ff: int
    context_length: int
    head: Literal["tied", "copied", "own"] = "tied"

    @property
    def num_parameters(self) -> int:
        """Elements of all matrices; vectors are too small to count."""
        stored = sum(rows * columns for rows, columns, _ in self._matrices("Q8_0"))
        return stored - (self.vocab_size * self.d_model if self.head == "copied" else 0)

    def weight_bytes(self, type: FileType) -> int:
        """Bytes of all matrices in a file of this type."""
        return sum(_matrix_bytes(rows, columns, block) for rows, columns, block in self._matrices(type))

    def file_bytes(self, type: FileType) -> int:
        """Bytes of a GGUF file, roughly."""
        norms = 4 * self.d_model * (2 * self.num_layers + 1)
        return self.weight_bytes(type) + norms + self.vocab_size * _VOCABULARY_BYTES

    def outline(self, weight_bytes: int) -> ModelOutline:
        """What `memory_need` asks for; of the spec only the sizes mean something."""
        return ModelOutline(spec=self._spec(), weight_bytes=weight_bytes, has_float_weights=False)

    def _matrices(self, type: FileType) -> Iterator[tuple[int, int, str]]:
        """Rows, columns and block type of each matrix."""
        plain, better = ("Q4_K", "Q6_K") if type == "Q4_K_M" else (type, type)
        query, kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        if self.head != "tied":
            yield self.vocab_size, self.d_model, plain
        yield self.vocab_size, self.d_model, better
        for layer in range(self.num_layers):
            some = better if _has_more_bits(layer, self.num_layers) else plain
            yield from ((query, self.d_model, plain), (kv, self.d_model, plain), (kv, self.d_model, some))
            yield self.d_model, query, plain
            yield from ((self.d_ff, self.d_model, plain), (self.d_ff, self.d_model, plain))
            yield self.d_model, self.d_ff, some

    def _spec(self) -> ModelSpec:
        rope = RopeSpec(inverse_frequencies=(1.0,) * (self.head_dim // 2))
        return ModelSpec(
            architecture="",
            vocab_size=self.vocab_size,
            d_model=self.d_model,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            head_dim=self.head_dim,
            d_ff=self.d_ff,
            context_length=self.context_length,
            norm_eps=1e-6,
            activation="silu",
            layers=(LayerSpec(),) * self.num_layers,
            ropes=(rope,),
            attention_scale=1.0,
        )


def _has_more_bits(layer: int, num_layers: int) -> bool:
    """Whether this layer's values and down projection have six bits: the ends, and every third between."""
    edge = num_layers // 8
    return layer < edge or layer >= 7 * num_layers // 8 or (layer - edge) % 3 == 2


def _matrix_bytes(rows: int, columns: int, name: str) -> int:
    block = _BLOCKS[name]
    if columns % block.elements:
        block = _BLOCKS[_STAND_IN[name]]
    return rows * columns // block.elements * block.bytes
