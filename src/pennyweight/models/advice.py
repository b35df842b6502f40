"""How a model's makers advise to sample it: GGUF's `general.sampling.*`, which folders' advice becomes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYWORDS: Final[Mapping[str, tuple[str, float, float]]] = MappingProxyType(
    {  # GGUF's name: that of `SamplingParams`, and the range it takes
        "temp": ("temperature", 0.0, 2.0),
        "top_k": ("top_k", 0, 2**31),
        "top_p": ("top_p", 0.0, 1.0),
        "min_p": ("min_p", 0.0, 1.0),
        "penalty_repeat": ("repetition_penalty", 0.01, 10.0),
    }
)


def sampling_advice(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Sampling by keyword, as far as a model says any; what no sampler here takes is no advice."""
    advice: dict[str, float] = {}
    for name, (keyword, low, high) in _KEYWORDS.items():
        value: Any = metadata.get(f"general.sampling.{name}")
        if type(value) in (int, float) and low <= value <= high:
            advice[keyword] = int(value) if keyword == "top_k" else float(value)
    return advice
