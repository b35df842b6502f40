"""Attention over a pack: every sequence by itself, by whichever of the ways it is computed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.models.outline import outline

torch = pytest.importorskip("torch", reason="the extra tune is not installed")
pytest.importorskip("transformers", reason="the extra tune is not installed")
from pennyweight.tune.attention import Visibility, packed_attention  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

SCALE = 0.3


def defined(q: Any, k: Any, v: Any, *, window: int | None, cap: float) -> Any:
    """`[H, L, d]` and `[K, L, d]` -> `[L, H, d]`, term by term."""
    groups, length = q.shape[0] // k.shape[0], q.shape[1]
    scores = SCALE * q @ k.repeat_interleave(groups, 0).transpose(1, 2)
    scores = torch.tanh(scores / cap) * cap if cap else scores
    distance = torch.arange(length)[:, None] - torch.arange(length)
    seen = (distance >= 0) & (distance < (window or length))
    share = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1)
    return (share @ v.repeat_interleave(groups, 0)).transpose(0, 1)


@pytest.mark.parametrize("segments", [(25, 35), (800, 3)])
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("cap", [0.0, 2.0])
def test_it_is_attention_of_each_sequence_and_so_are_its_gradients(
    segments: tuple[int, ...], window: int | None, cap: float, tiny_llama_path: Path
) -> None:
    torch.manual_seed(0)
    spec = outline(tiny_llama_path).spec
    layers = (replace(spec.layers[0], window=window),)
    spec = replace(spec, layers=layers, attention_scale=SCALE, attention_softcap=cap)
    shapes = [(1, heads, sum(segments), 8) for heads in (6, 2, 2)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    output, _ = packed_attention(
        SimpleNamespace(layer_idx=0), *inputs, None, spec=spec, segments=segments, visibility=Visibility()
    )
    parts = zip(*(whole[0].split(segments, dim=1) for whole in inputs), strict=True)
    want = torch.cat([defined(*part, window=window, cap=cap) for part in parts])[None]
    torch.testing.assert_close(output, want)
    grad = torch.randn_like(want)
    for ours, theirs in zip(
        torch.autograd.grad(output, inputs, grad), torch.autograd.grad(want, inputs, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
