"""The storage types of GGUF tensors: codes, names and block sizes.

A tensor's row is a run of blocks; a block holds a fixed number of elements in a fixed number of bytes. Types
the engine does not compute are known by name only, so that an error can say which one it met (Q8_1 and Q8_K
are what ggml rounds activations to; no file has weights of them). Codes and
sizes: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the block structures of ggml.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockType:
    """One readable type: `elements` values take `bytes` bytes."""

    code: int
    name: str
    elements: int
    bytes: int


BLOCK_TYPES: Final[Mapping[int, BlockType]] = MappingProxyType(
    {
        code: BlockType(code=code, name=name, elements=elements, bytes=size)
        for code, name, elements, size in (
            (0, "F32", 1, 4),
            (1, "F16", 1, 2),
            (2, "Q4_0", 32, 18),  # fp16 scale, 32 nibbles
            (3, "Q4_1", 32, 20),  # fp16 scale and minimum, 32 nibbles
            (6, "Q5_0", 32, 22),  # fp16 scale, 32 fifth bits, 32 nibbles
            (7, "Q5_1", 32, 24),
            (8, "Q8_0", 32, 34),
            (12, "Q4_K", 256, 144),  # fp16 scale and minimum, 12 bytes of 6-bit sub-scales, nibbles
            (13, "Q5_K", 256, 176),
            (14, "Q6_K", 256, 210),  # low nibbles, high pairs, 16 int8 sub-scales, fp16 scale
            (10, "Q2_K", 256, 84),  # 16 scales and minimums of 4 bits, pairs, fp16 scale and minimum
            (11, "Q3_K", 256, 110),  # third bits, pairs, 12 bytes of 6-bit sub-scales, fp16 scale
            (20, "IQ4_NL", 32, 18),  # fp16 scale, 32 nibbles: places in a table of values
            (23, "IQ4_XS", 256, 136),  # fp16 scale, 8 sub-scales of 6 bits, such nibbles
            (30, "BF16", 1, 2),
        )
    }
)
"""Types whose tensors can be read, by GGUF code."""

_BY_NAME: Final = MappingProxyType({block.name: block for block in BLOCK_TYPES.values()})

FLOAT_TYPES: Final = frozenset({"F32", "F16", "BF16"})

_OTHER_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        9: "Q8_1",
        15: "Q8_K",
        16: "IQ2_XXS",
        17: "IQ2_XS",
        18: "IQ3_XXS",
        19: "IQ1_S",
        21: "IQ3_S",
        22: "IQ2_S",
        24: "I8",
        25: "I16",
        26: "I32",
        27: "I64",
        28: "F64",
        29: "IQ1_M",
        34: "TQ1_0",
        35: "TQ2_0",
        39: "MXFP4",
        40: "NVFP4",
        41: "Q1_0",
    }
)


def type_name(code: int) -> str:
    """The name of a type code, readable or not; an unknown code names itself."""
    if code in BLOCK_TYPES:
        return BLOCK_TYPES[code].name
    return _OTHER_NAMES.get(code, f"type {code}")


def block_type(name: str) -> BlockType:
    """The readable type of that name."""
    return _BY_NAME[name]


def readable_names() -> str:
    """The readable types as a phrase for error messages."""
    return ", ".join(block.name for block in BLOCK_TYPES.values())
