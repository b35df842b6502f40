"""JSON that arrives in pieces, or not to its end: where a value ends, what a string says, what there is."""

from __future__ import annotations

import json
import re
from typing import Any

_SCALAR = r'[^\s"\[\]{}:,]'
_TOKEN = re.compile(rf'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{{}}:,]|{_SCALAR}+', re.DOTALL)
_HEX = "[0-9a-fA-F]"
_PAIR = rf"\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_WHOLE_ESCAPES = re.compile(rf'"(?:[^"\\]|\\[^u]|{_PAIR}|\\u(?![dD][89abAB]){_HEX}{{4}})*+', re.DOTALL)
# What of an object, or of an array, may be cut behind its last whole value.
_REST = {
    "}": re.compile(rf'\s*,?\s*(?:"(?:[^"\\]|\\.)*+(?:\\?\Z|"\s*(?::\s*{_SCALAR}*)?))?', re.DOTALL),
    "]": re.compile(rf"\s*,?\s*{_SCALAR}*"),
}
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


def object_so_far(text: str) -> dict[str, Any] | None:
    """The object that `text` begins, without values that are not all there; of a string, as much as there is.

    None if `text` is not the beginning of an object.
    """
    closers: list[str] = []
    last, start, end, before = "", 0, 0, ""  # the last value or bracket, its place, and the token before
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "{[":
            closers.append("}" if token == "{" else "]")
        elif token in "}]":
            if not closers or closers.pop() != token:
                return None
        elif token in ":," or not (before == ":" or closers[-1:] == ["]"]):
            before = token
            continue  # between values, or the name of one
        value = _value_so_far(token, is_last=match.end() == len(text))
        if value is not None:
            last, start, end = value, match.start(), match.end()
        before = token
    if not closers or not _REST[closers[-1]].fullmatch(text, end):
        return None
    try:
        parsed = json.loads(text[:start] + last + "".join(reversed(closers)), strict=False)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _value_so_far(token: str, *, is_last: bool) -> str | None:
    """`token`, a string ended where it was cut; None for a number or a name that may go on."""
    string = _WHOLE_ESCAPES.match(token)
    if string is None:
        return None if is_last and token not in "{}[]" else token
    return string[0] + '"'


def closed_object(text: str) -> str:
    """`text`; a JSON object that breaks off, closed where it does."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        parsed = object_so_far(text)
        return text if parsed is None else json.dumps(parsed, ensure_ascii=False)
    return text
