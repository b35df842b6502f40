"""The pages of one sequence, in order: page `i` holds positions `64 i` to `64 i + 63`.

Whole pages are shared with the prefix tree and with other sequences; the page a sequence writes to is always
its own. Pages are given back last first, which keeps the pool's idle order leaves-first for the prefix tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import pages_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.engine.pages import PagePool


@dataclass(frozen=True, slots=True)
class PageCopy:
    """Page `source` is to be copied to `destination` before the rows of a plan run, in the plan's order."""

    source: int
    destination: int


class BlockTable:
    """Pages held by one sequence."""

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self._pages: list[int] = []

    @property
    def pages(self) -> tuple[int, ...]:
        return tuple(self._pages)

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, index: int) -> int:
        return self._pages[index]

    def missing(self, num_positions: int) -> int:
        """Pages to allocate before `num_positions` positions fit."""
        return max(0, pages_for(num_positions) - len(self._pages))

    def reserve(self, num_positions: int) -> None:
        """Allocate up to `num_positions` positions; the pool must have what `missing` counts."""
        for _ in range(self.missing(num_positions)):
            last = self._pages[-1] if self._pages else None
            self._pages.append(self._pool.allocate(after=last))

    def share(self, pages: Sequence[int]) -> None:
        """Start with whole pages that others hold too: a prefix hit, or a fork of a sequence."""
        assert not self._pages, "a table shares only as its first act"
        for page in pages:
            self._pool.retain(page)
        self._pages.extend(pages)

    def replace(self, index: int, page: int) -> None:
        """Hold `page`, which has the same content, instead of the own page `index`."""
        self._pool.retain(page)
        self._pool.release(self._pages[index])
        self._pages[index] = page

    def truncate(self, num_positions: int) -> int:
        """Give back the pages past `num_positions` positions; how many these were."""
        keep = pages_for(num_positions)
        surplus = self._pages[keep:]
        for page in reversed(surplus):
            self._pool.release(page)
        del self._pages[keep:]
        return len(surplus)

    def release(self) -> None:
        """Give back every page."""
        self.truncate(0)
