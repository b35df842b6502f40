"""Pages and prefix tree together, as sequences use them: start, grow, record, give back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS
from pennyweight.engine.block_table import BlockTable, PageCopy
from pennyweight.engine.pages import PagePool
from pennyweight.engine.prefix_tree import PrefixTree, common_length

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Items

    from pennyweight.core import CacheNamespace
    from pennyweight.engine.prefix_tree import PositionKey
    from pennyweight.engine.sequence import Sequence


class KvCache:
    """All KV pages of one decoder. Contents are the decoder's; this is who may read and write which."""

    def __init__(self, num_pages: int) -> None:
        self.pool = PagePool(num_pages)
        self.tree = PrefixTree(self.pool)

    def start(self, sequence: Sequence, copies: list[PageCopy], *, headroom: int) -> bool:
        """Give `sequence` pages for all its tokens, known prefix first, if `headroom` pages stay available.

        At least one token stays to be computed, because something has to be sampled from. A prefix ending
        inside a page is copied, which is appended to `copies`: by the time the copy runs, its source may have
        been evicted and even given out again, but nothing is written before all copies have run in order.
        """
        limit = 0 if sequence.scores_prompt else sequence.num_tokens - 1
        match = self.tree.match(sequence.request.namespace, sequence.keys, limit=limit)
        sequence.blocks.share(match.pages)
        missing = sequence.blocks.missing(sequence.num_tokens)
        if missing + headroom > self.pool.num_available:
            sequence.blocks.release()
            return False
        if match.tail is not None:
            self.pool.touch(match.tail.page)
        self.tree.make_room(missing)
        sequence.blocks.reserve(sequence.num_tokens)
        if match.tail is not None:
            copies.append(PageCopy(match.tail.page, sequence.blocks[len(match.pages)]))
        sequence.num_computed = sequence.num_inserted = match.num_tokens
        return True

    def found(self, sequence: Sequence) -> int:
        """Positions of `sequence` that the tree could serve now."""
        limit = sequence.num_tokens - 1
        return self.tree.match(sequence.request.namespace, sequence.keys, limit=limit).num_tokens

    def adopt(
        self, namespace: CacheNamespace, keys: Items[PositionKey], *, known: int, headroom: int
    ) -> tuple[int, ...] | None:
        """Pages for the content `keys[known:]` that comes from elsewhere, to be written before the next plan.

        They are in the tree and held by nobody. None if the whole pages of `keys[:known]` have gone, if more
        than these have come, or if fewer than `headroom` pages would stay available.
        """
        table = BlockTable(self.pool)
        match = self.tree.match(namespace, keys, limit=len(keys))
        if len(match.pages) * PAGE_TOKENS != known:
            return None
        table.share(match.pages)
        missing = table.missing(len(keys))
        fits = missing + headroom <= self.pool.num_available
        if fits:
            self.tree.make_room(missing)
            table.reserve(len(keys))
            self.tree.insert(namespace, keys, table, known=known, limit=len(keys))
        pages = table.pages[len(match.pages) :]
        table.release()
        return pages if fits else None

    def grow(self, sequence: Sequence, num_positions: int) -> bool:
        """Reserve pages up to `num_positions`; False if that would take pages from another sequence."""
        missing = sequence.blocks.missing(num_positions)
        if missing > self.pool.num_available:
            return False
        self.tree.make_room(missing)
        sequence.blocks.reserve(num_positions)
        return True

    def record(self, sequence: Sequence) -> None:
        """Offer what is computed to others: a prompt to its last position, an output by whole pages."""
        computed = sequence.num_computed
        if computed > sequence.num_prompt:
            computed = max(sequence.num_prompt, computed // PAGE_TOKENS * PAGE_TOKENS)
        if computed > sequence.num_inserted:
            self._insert(sequence, computed)

    def release(self, sequence: Sequence, *, keep: bool) -> None:
        """Take all pages back; with `keep`, what is computed stays for others until evicted."""
        if keep:
            self._insert(sequence, sequence.num_computed)
        sequence.blocks.release()
        sequence.num_computed = sequence.num_inserted = 0

    def finish(self, sequence: Sequence, *, keep: bool) -> None:
        """`release` for good. What a batch's line leaves ends with its last whole page.

        So a line goes on in the memory of the one before, instead of in pages never used, and a batch puts
        out less of what people's requests left.
        """
        index = sequence.num_computed // PAGE_TOKENS
        part = sequence.blocks[index] if sequence.is_batch and index < len(sequence.blocks) else None
        self.release(sequence, keep=keep)
        if part is not None:
            self.tree.forget_part(part)

    def check_integrity(self, sequences: Iterable[Sequence]) -> None:
        """Raise AssertionError unless `sequences` (all alive) hold exactly the pages that the pool counts."""
        held = [0] * self.pool.num_pages
        for sequence in sequences:
            assert sequence.num_computed <= len(sequence.blocks) * PAGE_TOKENS
            assert sequence.num_inserted <= sequence.num_computed <= sequence.num_tokens
            assert sequence.status == "running" or not len(sequence.blocks), "a waiting sequence holds pages"
            for page in sequence.blocks.pages:
                held[page] += 1
        assert held == [self.pool.references(page) for page in range(self.pool.num_pages)]
        self.pool.check_integrity()
        self.tree.check_integrity()

    def _insert(self, sequence: Sequence, num_positions: int) -> None:
        self.tree.insert(
            sequence.request.namespace,
            sequence.keys,
            sequence.blocks,
            known=sequence.num_inserted,
            limit=num_positions,
        )
        sequence.num_inserted = num_positions


def shared_prefix(first: Sequence, second: Sequence) -> int:
    """Leading positions with the same content, in the same namespace."""
    if first.request.namespace != second.request.namespace:
        return 0
    shortest = min(first.num_tokens, second.num_tokens)
    for start in range(0, shortest, PAGE_TOKENS):
        stop = min(start + PAGE_TOKENS, shortest)
        a, b = first.keys[start:stop], second.keys[start:stop]
        if a != b:
            return start + common_length(a, b)
    return shortest
