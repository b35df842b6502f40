"""How keys and values of the context are kept: in eight bits, or in half the memory in four.

Four bits are for heads that can be rotated first, a multiple of 16 elements (docs/numerics.md, "Keys and
values in four bits"). What one format computed is never used by the other.
"""

from __future__ import annotations

from typing import Literal, get_args

from pennyweight.errors import ConfigError

KvFormat = Literal["int8", "int4"]


def check_kv_format(value: str | None) -> KvFormat:
    """`value`, if keys and values can be kept so; None: "int8". Raises ConfigError."""
    for known in get_args(KvFormat):
        if value == known:
            return known  # type: ignore[no-any-return]  # get_args knows no types
    if value is not None:
        raise ConfigError(f"kv_cache_dtype is {value!r}; possible are {', '.join(get_args(KvFormat))}")
    return "int8"


def kv_problem(kv_format: KvFormat, *, head_dim: int) -> str | None:
    """Why heads of `head_dim` elements cannot be kept so; None: they can."""
    if kv_format == "int8" or head_dim % 16 == 0:
        return None
    return f"int4 keys and values need heads of a multiple of 16 elements, not of {head_dim}"


def kv_head_bytes(kv_format: KvFormat, head_dim: int) -> int:
    """Bytes of the key and the value of one token and head (native/include/pennyweight/kernels.h).

    Keys have a scale per 32 elements, values one: float32, or bfloat16 with four bits. Heads are filled up to
    a multiple of 16 elements, values of four bits to one of 32.
    """
    padded = -(-head_dim // 16) * 16
    scales = -(-padded // 32) + 1
    if kv_format == "int8":
        return 2 * padded + 4 * scales
    return padded // 2 + -(-padded // 32) * 16 + 2 * scales
