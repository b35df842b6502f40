"""Which examples a step takes: every epoch all of them once, in an order that follows from the seed alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.tune.group import Group


class Order:
    """Nothing to be remembered: a step's place follows from its number (from 1)."""

    def __init__(self, examples: Sequence[tuple[Group, ...]], *, batch_size: int, seed: int) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._shuffled: list[int] = []

    def groups(self, step: int) -> list[Group]:
        """The groups of the examples of a step."""
        steps_per_epoch = -(-len(self._examples) // self._batch_size)
        epoch, place = divmod(step - 1, steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = list(range(len(self._examples)))
            random.Random(f"{self._seed} {epoch}").shuffle(self._shuffled)
        chosen = self._shuffled[place * self._batch_size : (place + 1) * self._batch_size]
        return [group for index in chosen for group in self._examples[index]]
