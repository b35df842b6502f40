"""What a file of Q4_1 holds of weights, so that a student can be trained as it will be served.

Small steps of training vanish when weights are rounded afterwards. Rounded at every step before they compute,
with the gradient given to the unrounded ones (Bengio et al. 2013, the straight-through estimator), they learn
to be rounded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK: Final = 32
_LARGEST: Final = 15
_LEAST_STEP: Final = 1e-7


def in_four_bits(weights: Any) -> Any:
    """`weights` `[rows, columns]` with sixteen levels for every 32 in a row, scale and minimum as float16."""
    blocks = weights.view(-1, _BLOCK)
    low = blocks.amin(1, keepdim=True)
    step = ((blocks.amax(1, keepdim=True) - low) / _LARGEST).half().float().clamp_min_(_LEAST_STEP)
    low = low.half().float()
    levels = (blocks - low).div_(step).round_().clamp_(0, _LARGEST)
    return levels.mul_(step).add_(low).view_as(weights)


@contextmanager
def rounded(parameters: Iterable[Any]) -> Iterator[None]:
    """Inside it the parameters are rounded, and gradients are theirs; behind it they are what they were."""
    exact = [(value, value.detach().clone()) for value in parameters]
    with torch.no_grad():
        for value, kept in exact:
            value.copy_(in_four_bits(kept))
    try:
        yield
    finally:
        with torch.no_grad():
            for value, kept in exact:
                value.copy_(kept)
