"""Stop strings over text that arrives in chunks.

The stop string that is complete first wins, as if the text came character by character; if several end at the
same character, the longest. So the result does not depend on where the chunks were cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence


class StopStrings:
    """Holds back the longest tail that may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        """InvalidRequestError if a stop string is empty: it would end every answer before it starts."""
        if not all(stops):
            raise InvalidRequestError("a stop string is empty; leave it out or give it text.", param="stop")
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Text that is safe to show, and the stop string that ended it; what follows a match is dropped."""
        if not self._stops:
            return text, None
        text = self._held + text
        match = self._find(text)
        if match is not None:
            start, stop = match
            self._held = ""
            return text[:start], stop
        keep = self._possible_start(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def flush(self) -> str:
        """The text held back; the answer ended without completing a stop string."""
        held, self._held = self._held, ""
        return held

    def _find(self, text: str) -> tuple[int, str] | None:
        """Start and text of the match with the smallest end, then the smallest start."""
        matches = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if not matches:
            return None
        _, start, stop = min(matches)
        return start, stop

    def _possible_start(self, text: str) -> int:
        """Length of the longest tail of `text` that is a proper beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            tail = text[len(text) - length :]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
