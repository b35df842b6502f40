"""The pool of KV pages: who holds which page, and which id a growing sequence gets next.

A page is free, held by block tables (counted), kept by the prefix tree, or both of the latter. Pages kept by
the tree alone are idle: they stand in the order of their release and are what eviction takes first. Ids come
in extents of four where possible, so that a sequence reads its keys in long contiguous runs.
"""

from __future__ import annotations

from collections import OrderedDict

EXTENT_PAGES = 4


class PagePool:
    """Reference counts and free pages of `num_pages` page ids. No page content passes through here."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self._references = [0] * num_pages
        self._cached: set[int] = set()
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._extents = dict.fromkeys(range((num_pages + EXTENT_PAGES - 1) // EXTENT_PAGES))
        self._loose: dict[int, None] = {}  # free pages whose extent is partly in use
        self._num_free = num_pages

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
        """A free page, held once: the id following `after` if possible, else the start of a free extent."""
        if after is not None and self._is_free(after + 1):
            page = after + 1
        elif self._extents:
            page = next(iter(self._extents)) * EXTENT_PAGES
        else:
            assert self._loose, "allocate() needs a free page; make room first"
            page = next(iter(self._loose))
        self._take(page)
        self._references[page] = 1
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
        return page in self._loose or (page < self.num_pages and page // EXTENT_PAGES in self._extents)

    def _take(self, page: int) -> None:
        extent = page // EXTENT_PAGES
        if extent in self._extents:
            del self._extents[extent]
            self._loose.update(dict.fromkeys(self._extent_pages(extent)))
        del self._loose[page]
        self._num_free -= 1

    def _give_back(self, page: int) -> None:
        self._loose[page] = None
        self._num_free += 1
        siblings = self._extent_pages(page // EXTENT_PAGES)
        if all(sibling in self._loose for sibling in siblings):
            for sibling in siblings:
                del self._loose[sibling]
            self._extents[page // EXTENT_PAGES] = None
