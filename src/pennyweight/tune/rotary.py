"""Rotary positions from a `ModelSpec`, in place of the module that `transformers` makes from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pennyweight.models.spec import ModelSpec


class Rotary(torch.nn.Module):
    """Cosines and sines of packed positions, `[1, T, 2 * half]`, computed in float32.

    A family may ask for each kind of layer by its name (layers of one kind turn alike), and may leave the
    dimensions that do not turn out of what is turned.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self._ropes = spec.ropes
        self._partial = spec.architecture == "phi3"
        self._of_kind: dict[str | None, int] = {}
        by_kind = spec.architecture == "gemma3"
        for layer in spec.layers:
            kind = "full_attention" if layer.window is None else "sliding_attention"
            if layer.rope is not None:
                self._of_kind[kind if by_kind else None] = layer.rope

    def forward(self, x: Any, position_ids: Any, layer_type: str | None = None) -> tuple[Any, Any]:
        rope = self._ropes[self._of_kind.get(layer_type, 0)]
        frequencies = torch.tensor(rope.inverse_frequencies)
        if self._partial:
            frequencies = frequencies[frequencies != 0]
        # A pair that does not turn is left as it is: the magnitude is of those that do.
        magnitude = torch.where(frequencies == 0, 1.0, rope.magnitude).repeat(2)
        angles = (position_ids[..., None].float() * frequencies).repeat(1, 1, 2)
        return (angles.cos() * magnitude).to(x.dtype), (angles.sin() * magnitude).to(x.dtype)
