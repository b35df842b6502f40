"""One page of a list that is read as a whole: what a small model was given is never long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.store.pages import Cursor, CursorError, Page

if TYPE_CHECKING:
    from collections.abc import Sequence


def page_of_wires(wires: Sequence[dict[str, Any]], cursor: Cursor) -> Page[dict[str, Any]]:
    """Those of `wires` behind `cursor`, in its order; each has an `id`. Raises CursorError."""
    ordered = list(wires) if cursor.order == "asc" else list(reversed(wires))
    start = 0
    if cursor.after is not None:
        start = next((place for place, wire in enumerate(ordered, 1) if wire["id"] == cursor.after), 0)
        if not start:
            raise CursorError("after", cursor.after)
    return Page(ordered[start : start + cursor.limit], len(ordered) > start + cursor.limit)
