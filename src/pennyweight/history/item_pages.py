"""One page of a list that is read as a whole: what a small model was given is never long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.store.pages import Cursor, CursorError, Page

if TYPE_CHECKING:
    from collections.abc import Sequence


def page_of_wires(wires: Sequence[dict[str, Any]], cursor: Cursor) -> Page[dict[str, Any]]:
    """Those of `wires` behind `cursor`, in its order; each has an `id`. Raises CursorError.

    What stands there twice is listed where it came first: behind a cursor that names two places a client
    would never get to the end.
    """
    once: dict[str, dict[str, Any]] = {}
    for wire in wires:
        once.setdefault(wire["id"], wire)
    ordered = list(once.values()) if cursor.order == "asc" else list(reversed(once.values()))
    start = 0
    if cursor.after is not None:
        start = next((place for place, wire in enumerate(ordered, 1) if wire["id"] == cursor.after), 0)
        if not start:
            raise CursorError("after", cursor.after)
    return Page(ordered[start : start + cursor.limit], len(ordered) > start + cursor.limit)
