"""Sequences of different lengths side by side in one tensor, without a token of padding.

Each keeps its own positions and sees itself alone (see `attention`), so packs compute what batches of one
would. That also makes grouping by length needless: it exists to save padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pennyweight.tune.group import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """`tokens` and `positions` `[1, T]`; the state at `rows[i]` predicts `labels[i]`.

    `segments` are the lengths of the sequences, `learnt` how many labels each has, `numbers` those of their
    groups.
    """

    tokens: Any
    positions: Any
    rows: Any
    labels: Any
    segments: tuple[int, ...]
    learnt: tuple[int, ...]
    numbers: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        return sum(self.segments)


def packs_of(groups: Iterable[Group], *, pack_tokens: int) -> list[Pack]:
    """The groups, longest first, each into the first pack with room; a long one has a pack of its own."""
    bins: list[list[Group]] = []
    rooms: list[int] = []
    for group in sorted(groups, key=lambda group: (-group.num_tokens, group.number)):
        size = group.num_tokens
        place = next((index for index, room in enumerate(rooms) if room >= size), None)
        if place is None:
            bins.append([group])
            rooms.append(pack_tokens - size)
        else:
            bins[place].append(group)
            rooms[place] -= size
    return [_pack(groups) for groups in bins]


def _pack(groups: Sequence[Group]) -> Pack:
    tokens: list[int] = []
    rows: list[int] = []
    labels: list[int] = []
    numbers: list[int] = []
    sequences = [sequence for group in groups for sequence in group.sequences]
    for sequence in sequences:
        for start, end in sequence.learnt:
            rows += range(len(tokens) + start - 1, len(tokens) + end - 1)
            labels += sequence.tokens[start:end]
        tokens += sequence.tokens
    for group in groups:
        numbers += [group.number] * len(group.sequences)
    return Pack(
        tokens=torch.tensor([tokens]),
        positions=torch.cat([torch.arange(len(sequence.tokens)) for sequence in sequences])[None],
        rows=torch.tensor(rows),
        labels=torch.tensor(labels),
        segments=tuple(len(sequence.tokens) for sequence in sequences),
        learnt=tuple(sequence.num_learnt for sequence in sequences),
        numbers=tuple(numbers),
    )
