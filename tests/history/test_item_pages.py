"""Pages of a list that is read as a whole: each item once, and an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.history.item_pages import page_of_wires
from pennyweight.store.pages import Cursor, CursorError

if TYPE_CHECKING:
    from pennyweight.store.pages import Order

TWICE = [{"id": name} for name in ("a", "b", "a", "c", "b")]


@pytest.mark.parametrize(("order", "expected"), [("asc", "abc"), ("desc", "cba")])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_list_ends_although_an_item_stands_twice(order: Order, expected: str, limit: int) -> None:
    """As chains of earlier versions may have it."""
    listed, after, has_more = "", None, True
    while has_more and len(listed) < 20:
        page = page_of_wires(TWICE, Cursor(after=after, limit=limit, order=order))
        listed += "".join(wire["id"] for wire in page.items)
        after, has_more = listed[-1], page.has_more
    assert listed == expected


def test_a_cursor_of_nothing() -> None:
    with pytest.raises(CursorError):
        page_of_wires(TWICE, Cursor(after="d"))
