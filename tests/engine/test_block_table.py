"""Block tables: what a sequence holds, and that everything comes back."""

from __future__ import annotations

import pytest

from pennyweight.core import pages_for
from pennyweight.engine.block_table import BlockTable
from pennyweight.engine.pages import PagePool


@pytest.mark.parametrize(("positions", "pages"), [(0, 0), (1, 1), (64, 1), (65, 2), (128, 2)])
def test_pages_for(positions: int, pages: int) -> None:
    assert pages_for(positions) == pages


def test_reserve_is_exact_and_contiguous() -> None:
    pool = PagePool(16)
    table = BlockTable(pool)
    assert table.missing(200) == 4
    table.reserve(200)
    table.reserve(130)
    assert table.pages == (0, 1, 2, 3)
    assert table.missing(257) == 1


def test_a_fork_shares_whole_pages_and_owns_its_tail() -> None:
    pool = PagePool(16)
    parent, child = BlockTable(pool), BlockTable(pool)
    parent.reserve(150)
    child.share(parent.pages[:2])
    child.reserve(150)
    assert child.pages[:2] == parent.pages[:2]
    assert child[2] != parent[2]
    assert [pool.references(page) for page in parent.pages] == [2, 2, 1]
    parent.release()
    assert [pool.references(page) for page in child.pages] == [1, 1, 1]
    child.release()
    assert pool.num_free == 16


def test_truncate_gives_back_what_lies_behind() -> None:
    pool = PagePool(16)
    table = BlockTable(pool)
    table.reserve(300)
    assert table.truncate(128) == 3
    assert table.truncate(128) == 0
    assert len(table) == 2
    assert pool.num_free == 14


def test_replace_swaps_a_page_for_its_twin() -> None:
    pool = PagePool(16)
    table, other = BlockTable(pool), BlockTable(pool)
    table.reserve(64)
    other.reserve(64)
    own = table[0]
    table.replace(0, other[0])
    assert table.pages == other.pages
    assert pool.references(own) == 0
    assert pool.references(other[0]) == 2
