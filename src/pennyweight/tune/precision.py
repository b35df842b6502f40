"""The number type that is computed in, and how many threads compute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from pennyweight.native import _native

if TYPE_CHECKING:
    from pennyweight.tune.plan import Precision

_BF16: Final = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86's names and ARM's


def chosen_dtype(precision: Precision) -> torch.dtype:
    """bfloat16 where the processor multiplies it: elsewhere it is emulated and slower than float32."""
    if precision == "auto":
        return torch.bfloat16 if _has_bfloat16() else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _has_bfloat16() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _BF16.isdisjoint(flags.split())


def use_threads(threads: int) -> None:
    """Compute on so many; 0: all physical cores."""
    torch.set_num_threads(threads or _native.useful_threads())
