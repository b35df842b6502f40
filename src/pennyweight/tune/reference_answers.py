"""What the base model gives the answers of preferences, computed once for a work folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from pennyweight.tune.durable import write_file
from pennyweight.tune.packing import packs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.group import Group

Reference = dict[int, tuple[float, float]]


def reference_of(
    model: AdaptedModel,
    groups: Iterable[Group],
    *,
    path: Path,
    identity: str,
    pack_tokens: int,
    check: Callable[[], None],
    keep: bool,
) -> Reference:
    """Log-probability of both answers of every group; from `path` if it was computed for `identity`.

    `check` is called between packs: what it raises ends the computation. `keep` writes `path`.
    """
    if path.exists():
        kept = json.loads(path.read_bytes())
        if kept["identity"] == identity:
            return {int(number): (pair[0], pair[1]) for number, pair in kept["pairs"].items()}
    pairs: Reference = {}
    with torch.no_grad(), model.without_adapter():
        for pack in packs_of(groups, pack_tokens=pack_tokens):
            check()
            answers = [float(part.sum()) for part in model.logprobs(pack)[0].split(pack.learnt)]
            for index, number in enumerate(pack.numbers[::2]):
                pairs[number] = (answers[2 * index], answers[2 * index + 1])
    if keep:
        write_file(path, json.dumps({"identity": identity, "pairs": pairs}).encode())
    return pairs
