"""How a ceiling on memory is divided between the models of one process.

Where the weights of all of them fit side by side, what is left is divided equally, and each model has its
part as pages of keys and values: all stay in memory. Where they do not fit, a model gets half of what its own
weights leave, so that a smaller one finds room beside it, and models that nobody uses make room for others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.memory_need import memory_need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.models.outline import ModelOutline


def standing_bytes(outline: ModelOutline, *, threads: int) -> int:
    """What one more model takes beside its pages."""
    need = memory_need(outline, resident_bytes=0, threads=threads)
    return need.weight_bytes + need.buffer_bytes + need.program_bytes


def page_share(ceiling_bytes: int, *, program_bytes: int, own_bytes: int, others: Sequence[int]) -> int:
    """Bytes for the pages of a model that takes `own_bytes` beside them, as the others take `others`.

    `program_bytes` is what the process took before its first model.
    """
    room = ceiling_bytes - program_bytes
    together = own_bytes + sum(others)
    share = (room - together) // (1 + len(others)) if together <= room else (room - own_bytes) // 2
    return max(0, share)
