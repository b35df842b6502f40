"""JSON that arrives in pieces: where a value ends, and what a string inside it says."""

from __future__ import annotations

import re

_INPUT = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class ValueEnd:
    """Finds the end of one object or array by its brackets; nothing is checked."""

    def __init__(self) -> None:
        self.begun = False
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find(self, text: str) -> int | None:
        """Index behind the value's last character in `text`, the next piece of it; None if it goes on.

        0 if `text` begins neither an object nor an array.
        """
        if not self.begun and text[:1] not in ("{", "["):
            return 0
        self.begun = True
        for index, char in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._in_string = False
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    return index + 1
        return None


class InputText:
    """The text of `{"input": "..."}`, decoded as it comes."""

    def __init__(self) -> None:
        self._buffer = ""
        self._open = False
        self._done = False

    def push(self, text: str) -> str:
        self._buffer += text
        if not self._open:
            match = _INPUT.match(self._buffer)
            if match is None:
                return ""
            self._open, self._buffer = True, self._buffer[match.end() :]
        return "" if self._done else self._decode()

    def _decode(self) -> str:
        """The characters that are certain; an unfinished escape or half a surrogate pair waits."""
        shown: list[str] = []
        position = 0
        while position < len(self._buffer):
            char = self._buffer[position]
            if char == '"':
                self._done = True
                break
            if char != "\\":
                shown.append(char)
                position += 1
                continue
            size = self._escape_size(position)
            if size is None:
                break
            shown.append(self._unescape(self._buffer[position + 1 : position + size]))
            position += size
        self._buffer = self._buffer[position:]
        return "".join(shown)

    def _escape_size(self, position: int) -> int | None:
        """Characters of the escape at `position`; None if it is not all here."""
        rest = self._buffer[position:]
        if len(rest) < 2 or (rest[1] == "u" and len(rest) < 6):
            return None
        if rest[1] != "u":
            return 2
        if rest[2:4].lower() in ("d8", "d9", "da", "db"):
            return 12 if len(rest) >= 12 else None
        return 6

    @staticmethod
    def _unescape(body: str) -> str:
        if body[0] != "u":
            return _ESCAPES.get(body[0], body[0])
        try:
            units = [int(unit, 16) for unit in re.findall(r"u([0-9a-fA-F]{4})", body)]
            return b"".join(unit.to_bytes(2, "little") for unit in units).decode("utf-16-le", "replace")
        except ValueError:
            return "\N{REPLACEMENT CHARACTER}"
