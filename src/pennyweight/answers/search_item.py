"""The `file_search_call` of a response: done before the answer, told at its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.answers.passages import Found
    from pennyweight.answers.responses_output import Told


class SearchItem:
    """The item at place `index` of the output."""

    def __init__(self, index: int, found: Found) -> None:
        self._index = index
        self._id = f"fs_{uuid4().hex}"
        self._found = found

    def told(self) -> Iterator[Told]:
        """Everything about it, from added to done."""
        place = {"item_id": self._id, "output_index": self._index}
        begun = {**self.payload(), "status": "in_progress", "results": None}
        yield "output_item.added", {"output_index": self._index, "item": begun}
        for step in ("in_progress", "searching", "completed"):
            yield f"file_search_call.{step}", place
        yield "output_item.done", {"output_index": self._index, "item": self.payload()}

    def payload(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "file_search_call",
            "status": "completed",
            "queries": [self._found.query],
            "results": self._results() if self._found.with_results else None,
        }

    def _results(self) -> list[dict[str, Any]]:
        return [
            {
                "file_id": passage.file_id,
                "filename": passage.filename,
                "score": passage.score,
                "text": passage.text,
                "attributes": dict(passage.attributes),
            }
            for passage in self._found.passages
        ]
