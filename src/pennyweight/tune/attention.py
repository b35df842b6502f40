"""Attention over packed sequences: each sees itself alone, as if it were computed by itself.

`transformers` calls it by its registered name in every family. Segments run one behind the other through
PyTorch's fused attention, so that nothing is computed for pairs of tokens of different examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
import transformers
from torch.nn import functional

if TYPE_CHECKING:
    from pennyweight.models.spec import ModelSpec

ATTENTION: Final = "pennyweight"


def packed_attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,  # noqa: ARG001  # nobody makes one
    *,
    spec: ModelSpec,
    segments: tuple[int, ...],
    **_: Any,
) -> tuple[Any, None]:
    """`query` `[1, H, T, d]`, `key` and `value` `[1, K, T, d]` -> `[1, T, H, d]`.

    `segments` are the lengths of the packed sequences. Scale, windows and caps are those of `spec`.
    """
    window = spec.layers[module.layer_idx].window
    parts = zip(
        query.split(segments, dim=2), key.split(segments, dim=2), value.split(segments, dim=2), strict=True
    )
    outputs = [_attend(q, k, v, spec, window) for q, k, v in parts]
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
    return whole.transpose(1, 2), None


def _attend(q: Any, k: Any, v: Any, spec: ModelSpec, window: int | None) -> Any:
    groups, length = q.shape[1] // k.shape[1], q.shape[2]
    if groups > 1:
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    scale = spec.attention_scale
    if spec.attention_softcap:
        return _capped(q, k, v, scale=scale, window=window, softcap=spec.attention_softcap)
    if window is None or window >= length:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=_visible(length, window), scale=scale)


def _capped(q: Any, k: Any, v: Any, *, scale: float, window: int | None, softcap: float) -> Any:
    scores = torch.tanh(q @ k.transpose(2, 3) * (scale / softcap)) * softcap
    scores = scores.float().masked_fill(~_visible(q.shape[2], window), float("-inf"))
    return scores.softmax(dim=-1).to(q.dtype) @ v


def _visible(length: int, window: int | None) -> Any:
    """`[T, T]`: which keys each query sees."""
    seen = torch.ones(length, length, dtype=torch.bool).tril()
    return seen if window is None else seen.triu(1 - window)


transformers.AttentionInterface.register(ATTENTION, packed_attention)
