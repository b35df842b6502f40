"""Text that says where it comes from: a mark behind every sentence that a passage supports.

Marks look as OpenAI's do, and an annotation names the file of each, so that programs can replace them. Which
sentence is supported is measured, sentence by sentence, so text is held back until its sentence has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.passages import Passage, PassageSource

_END: Final = re.compile(r"[.!?…。！？।][\"'”’»)\]]*(?=\s)|\n")


@dataclass(frozen=True, slots=True)
class CitedPiece:
    """Text that is final, and the annotations of the marks in it."""

    text: str
    annotations: list[dict[str, Any]] = field(default_factory=list)


class CitedText:
    """One text while it grows; without `passages` it passes through."""

    def __init__(self, source: PassageSource | None, passages: Sequence[Passage]) -> None:
        self._source = source if passages else None
        self._passages = passages
        self._held = ""
        self._length = 0  # of what was given out, in characters
        self._num_marks = 0

    def more(self, text: str) -> CitedPiece:
        """What is final now; its text may be empty."""
        if self._source is None:
            return CitedPiece(text)
        self._held += text
        end = max((match.end() for match in _END.finditer(self._held)), default=0)
        whole, self._held = self._held[:end], self._held[end:]
        return self._marked(whole)

    def rest(self) -> CitedPiece:
        """The last of it."""
        rest, self._held = self._held, ""
        return self._marked(rest)

    def _marked(self, text: str) -> CitedPiece:
        if self._source is None or not text:
            return CitedPiece(text)
        parts, annotations, done = [], [], 0
        for citation in self._source.citations(text, self._passages):
            parts.append(text[done : citation.index])
            done = citation.index
            start = self._length + sum(map(len, parts))
            mark = f"【{self._num_marks}:{self._passages.index(citation.passage)}†source】"
            parts.append(mark)
            annotations.append(_annotation(self._num_marks, mark, start, citation.passage))
            self._num_marks += 1
        marked = "".join((*parts, text[done:]))
        self._length += len(marked)
        return CitedPiece(marked, annotations)


def _annotation(number: int, mark: str, start: int, passage: Passage) -> dict[str, Any]:
    """OpenAI's `file_citation`; `index` is its place among the message's."""
    return {
        "index": number,
        "type": "file_citation",
        "text": mark,
        "start_index": start,
        "end_index": start + len(mark),
        "file_citation": {"file_id": passage.file_id},
    }
