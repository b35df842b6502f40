"""One trainer or several: processes that `accelerate launch` started share every step.

Each computes every n-th pack of a step; gradients and sums are added up, so that all of them make the same
step. The first alone writes files and events. torch and accelerate are imported where they are needed: a
training file is checked before either is there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pennyweight.tune.packing import Pack


class Processes:
    """The processes of one training, seen from one of them."""

    def __init__(self) -> None:
        self.number = int(os.environ.get("WORLD_SIZE", "1"))
        self.index = 0
        if self.number > 1:
            from accelerate import PartialState

            self.index = PartialState(cpu=True).process_index

    @property
    def is_first(self) -> bool:
        return self.index == 0

    def share(self, packs: Sequence[Pack]) -> list[Pack]:
        return list(packs[self.index :: self.number])

    def add_gradients(self, parameters: Iterable[Any]) -> None:
        if self.number == 1:
            return
        import torch

        values = list(parameters)
        for value in values:
            if value.grad is None:  # of a process without a pack in this step
                value.grad = torch.zeros_like(value)
        flat = self._added(torch.cat([value.grad.reshape(-1) for value in values]))
        for value, part in zip(values, flat.split([value.numel() for value in values]), strict=True):
            value.grad.copy_(part.view_as(value))

    def add(self, numbers: list[float]) -> list[float]:
        """Each number summed over all processes."""
        if self.number == 1:
            return numbers
        import torch

        sums: list[float] = self._added(torch.tensor(numbers, dtype=torch.float64)).tolist()
        return sums

    def _added(self, values: Any) -> Any:
        from accelerate.utils import reduce

        return reduce(values, reduction="sum")
