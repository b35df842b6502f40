"""The pool of KV pages: who holds which page, and which id a growing sequence gets next.

A page is free, held by block tables (counted), kept by the prefix tree, or both of the latter. Pages kept by
the tree alone are idle: they stand in the order of their release and are what eviction takes first. Ids come
in extents of four where possible, so that a sequence reads its keys in long contiguous runs; of those the
lowest, because a page costs memory from its first use on.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict

EXTENT_PAGES = 4


class PagePool:
    """Reference counts and free pages of `num_pages` page ids. No page content passes through here."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self._references = [0] * num_pages
        self._cached: set[int] = set()
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._extents = list(range((num_pages + EXTENT_PAGES - 1) // EXTENT_PAGES))  # rising
        self._loose: list[int] = []  # free pages whose extent is partly in use, rising
        self._num_free = num_pages
        self._num_reached = 0  # pages below were given out at some time
        self._num_committed = 0  # pages below have their memory

    @property
    def num_free(self) -> int:
        return self._num_free

    @property
    def num_idle(self) -> int:
        """Pages that eviction could free."""
        return len(self._idle)

    @property
    def num_cached(self) -> int:
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Pages that can be had without taking any from a sequence."""
        return self.num_free + self.num_idle

    def references(self, page: int) -> int:
        return self._references[page]

    def allocate(self, after: int | None = None) -> int:
        """A free page, held once: the id following `after` if possible, else the lowest extent's first."""
        if after is not None and self._is_free(after + 1):
            page = after + 1
        elif self._extents:
            page = self._extents[0] * EXTENT_PAGES
        else:
            assert self._loose, "allocate() needs a free page; make room first"
            page = self._loose[0]
        self._take(page)
        self._references[page] = 1
        return page

    def next_to_commit(self, num_ahead: int) -> int | None:
        """One of the `num_ahead` pages to be given out next for the first time; each is named once."""
        page = max(self._num_committed, self._num_reached)
        if page >= min(self._num_reached + num_ahead, self.num_pages):
            return None
        self._num_committed = page + 1
        return page

    def retain(self, page: int) -> None:
        """One more block table holds `page`."""
        assert self._references[page] > 0 or page in self._idle, f"page {page} is free"
        self._references[page] += 1
        self._idle.pop(page, None)

    def release(self, page: int) -> None:
        """One block table fewer holds `page`; the last one frees it unless the tree keeps it."""
        assert self._references[page] > 0, f"page {page} is held by nobody"
        self._references[page] -= 1
        if self._references[page] > 0:
            return
        if page in self._cached:
            self._idle[page] = None
        else:
            self._give_back(page)

    def keep(self, page: int) -> None:
        """The prefix tree keeps `page`, which a block table holds now."""
        assert self._references[page] > 0
        assert page not in self._cached
        self._cached.add(page)

    def drop(self, page: int) -> None:
        """The prefix tree keeps `page` no longer."""
        self._cached.remove(page)
        if self._references[page] == 0:
            del self._idle[page]
            self._give_back(page)

    def touch(self, page: int) -> None:
        """`page` was of use: if idle, it is now the last to be evicted."""
        if page in self._idle:
            self._idle.move_to_end(page)

    def oldest_idle(self) -> int:
        """The page whose turn to be evicted it is."""
        return next(iter(self._idle))

    def check_integrity(self) -> None:
        """Raise AssertionError unless every page is in exactly one state."""
        free = set(self._loose)
        for extent in self._extents:
            pages = self._extent_pages(extent)
            assert free.isdisjoint(pages), "an extent is listed as whole and as broken"
            free.update(pages)
        assert len(free) == self.num_free
        for page, count in enumerate(self._references):
            assert count >= 0
            assert (page in free) == (count == 0 and page not in self._cached), (
                f"page {page} is lost or aliased"
            )
            assert (page in self._idle) == (count == 0 and page in self._cached), (
                f"page {page} is wrongly idle"
            )
        for page in self._loose:
            siblings = self._extent_pages(page // EXTENT_PAGES)
            assert not free.issuperset(siblings), "a whole extent is listed as broken"

    def _extent_pages(self, extent: int) -> range:
        start = extent * EXTENT_PAGES
        return range(start, min(start + EXTENT_PAGES, self.num_pages))

    def _is_free(self, page: int) -> bool:
        if page >= self.num_pages:
            return False
        return _contains(self._loose, page) or _contains(self._extents, page // EXTENT_PAGES)

    def _take(self, page: int) -> None:
        extent = page // EXTENT_PAGES
        if _contains(self._extents, extent):
            _remove(self._extents, extent)
            first = bisect_left(self._loose, page)
            self._loose[first:first] = self._extent_pages(extent)
        _remove(self._loose, page)
        self._num_free -= 1
        self._num_reached = max(self._num_reached, page + 1)

    def _give_back(self, page: int) -> None:
        insort(self._loose, page)
        self._num_free += 1
        siblings = self._extent_pages(page // EXTENT_PAGES)
        first = bisect_left(self._loose, siblings[0])
        if self._loose[first : first + len(siblings)] == list(siblings):
            del self._loose[first : first + len(siblings)]
            insort(self._extents, page // EXTENT_PAGES)


def _contains(rising: list[int], value: int) -> bool:
    at = bisect_left(rising, value)
    return at < len(rising) and rising[at] == value


def _remove(rising: list[int], value: int) -> None:
    del rising[bisect_left(rising, value)]
