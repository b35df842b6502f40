"""Regular expressions of JSON schemas (ECMA-262) in the syntax of Rust's `regex`, which llguidance reads.

Validators disagree about classes: `\\d` is ASCII in ECMA-262 and any decimal digit in Python's `re`, which
`jsonschema` uses. So that a match satisfies them all, what a pattern demands is read narrowly (`\\d` is 0 to
9) and what it excludes widely (`[^\\d]` keeps every script's digits out). Anything that means different
things to different engines, or needs memory or looking around, raises PatternError.
"""

from __future__ import annotations

import re
from typing import Literal

MAX_PATTERN_CHARS = 1 << 14
MAX_REPEAT = 100_000

_SPACE = r" \t\n\r\f\v"
_ANY_SPACE = r"\s\x{85}\x{FEFF}\x1c-\x1f"
_CLASSES = {
    # letter: what may stand in for it, what it may stand for; contents of a bracket, "^" first for all others
    "d": ("0-9", r"\p{Nd}"),
    "D": (r"^\p{Nd}", "^0-9"),
    "w": ("0-9A-Za-z_", r"\p{L}\p{N}_"),
    "W": (r"^\p{L}\p{N}_", "^0-9A-Za-z_"),
    "s": (_SPACE, _ANY_SPACE),
    "S": ("^" + _ANY_SPACE, "^" + _SPACE),
}
_ANY = (r"[^\n\r\x{2028}\x{2029}]", r"[^\n]")
_CONTROLS = {"t": r"\t", "n": r"\n", "r": r"\r", "f": r"\f", "v": r"\v"}
_QUANTIFIER = re.compile(r"\{(\d+)(,(\d*))?\}")
_PROPERTY = re.compile(r"\{(\^?[A-Za-z_]+(?:=[A-Za-z_]+)?)\}")
_HEX = {"x": re.compile(r"[0-9a-fA-F]{2}"), "u": re.compile(r"[0-9a-fA-F]{4}")}


class PatternError(ValueError):
    """Says what in a pattern cannot be enforced."""


Reading = Literal["narrow", "wide"]
"""`narrow`: what matches, matches for every engine. `wide`: what matches for any engine, matches."""


def rust_pattern(pattern: str, reading: Reading = "narrow") -> str:
    """`pattern` for llguidance, still unanchored. PatternError names what it cannot do."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PatternError(f"it has {len(pattern)} characters, the limit is {MAX_PATTERN_CHARS}")
    return _Translation(pattern, wide=reading == "wide").run()


class _Translation:
    def __init__(self, pattern: str, *, wide: bool) -> None:
        self._text = pattern
        self._wide = wide
        self._at = 0
        self._depth = 0

    def run(self) -> str:
        pieces: list[str] = []
        while self._at < len(self._text):
            pieces.append(self._piece(self._next()))
        if self._depth:
            raise PatternError("a group is not closed")
        return "".join(pieces)

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise PatternError("it ends unexpectedly")
        self._at += 1
        return self._text[self._at - 1]

    def _piece(self, char: str) -> str:
        if char == "\\":
            return self._quantified(self._escape())
        if char == "[":
            return self._quantified(self._class())
        if char == "(":
            return self._open_group()
        if char == ")":
            self._depth -= 1
            if self._depth < 0:
                raise PatternError("a group is closed that was not opened")
            return self._quantified(")")
        if char == ".":
            return self._quantified(_ANY[self._wide])
        if char in "|^$":
            return char
        if char in "*+?":
            raise PatternError(f"{char!r} has nothing to repeat")
        return self._quantified(_literal(char))

    def _open_group(self) -> str:
        self._depth += 1
        if self._text[self._at : self._at + 1] != "?":
            return "(?:"
        named = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)").match(self._text, self._at)
        if named is None:
            what = self._text[self._at : self._at + 3].rstrip(")")
            raise PatternError(f"it looks around or sets flags with ({what}")
        self._at = named.end()
        return "(?:"

    def _quantified(self, atom: str) -> str:
        """`atom` with the quantifier that follows; whether it is lazy makes no difference to what matches."""
        char = self._text[self._at : self._at + 1]
        if char and char in "*+?":
            self._at += 1
            quantifier = char
        elif char == "{":
            match = _QUANTIFIER.match(self._text, self._at)
            if match is None:
                raise PatternError("a brace is neither a number of times nor escaped")
            if max(int(match[1]), int(match[3] or 0)) > MAX_REPEAT:
                raise PatternError(f"it repeats more than {MAX_REPEAT} times")
            self._at, quantifier = match.end(), match[0]
        else:
            return atom
        following = self._text[self._at : self._at + 1]
        if following == "?":
            self._at += 1
        elif following and following in "*+{":
            raise PatternError("a quantifier is itself quantified")
        return atom + quantifier

    def _escape(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return f"[{_CLASSES[char][self._wide]}]"
        if char in "bB":
            raise PatternError(f"it looks around with \\{char}")
        if char in "123456789k":
            raise PatternError(f"it refers back with \\{char}")
        return self._simple_escape(char, within_class=False)

    def _simple_escape(self, char: str, *, within_class: bool) -> str:
        """An escape that stands for one character, or a Unicode property."""
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char in "pP":
            match = _PROPERTY.match(self._text, self._at)
            if match is None:
                raise PatternError(f"\\{char} has no {{property}}")
            self._at = match.end()
            return f"\\{char}{{{match[1]}}}"
        if char in _HEX:
            return _literal(chr(self._code_point(char)))
        if char == "0" and not self._text[self._at : self._at + 1].isdigit():
            return r"\x00"
        if char == "b" and within_class:
            return r"\x08"
        if char.isalnum() or not char.isascii():
            raise PatternError(f"\\{char} means different things to different engines")
        return _literal(char)

    def _code_point(self, kind: str) -> int:
        code = self._hexadecimal(kind)
        if 0xD800 <= code < 0xDC00 and self._text[self._at : self._at + 2] == "\\u":
            self._at += 2
            low = self._hexadecimal("u")
            if 0xDC00 <= low < 0xE000:
                return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        if 0xD800 <= code < 0xE000:
            raise PatternError("it holds half of a surrogate pair")
        return code

    def _hexadecimal(self, kind: str) -> int:
        match = _HEX[kind].match(self._text, self._at)
        if match is None:
            raise PatternError(f"\\{kind} is not followed by its hexadecimal digits")
        self._at = match.end()
        return int(match[0], 16)

    def _class(self) -> str:
        excludes = self._text[self._at : self._at + 1] == "^"
        self._at += excludes
        if self._text[self._at : self._at + 1] == "]":
            raise PatternError("a class begins with ], which engines read differently")
        items: list[str] = []
        while (char := self._next()) != "]":
            items.append(self._class_item(char, wide=excludes != self._wide))
        return f"[{'^' if excludes else ''}{''.join(items)}]"

    def _class_item(self, char: str, *, wide: bool) -> str:
        first = self._class_atom(char, wide=wide)
        if first[0] == "[":
            return first  # a minus behind a class is itself
        if self._text[self._at : self._at + 1] != "-" or self._text[self._at + 1 : self._at + 2] in ("]", ""):
            return first
        self._at += 1
        last = self._class_atom(self._next(), wide=wide)
        if last[0] == "[":
            raise PatternError("a range ends with a class")
        return f"{first}-{last}"

    def _class_atom(self, char: str, *, wide: bool) -> str:
        """One character, or a bracket for a class of them."""
        if char != "\\":
            return _literal(char)
        char = self._next()
        if char in _CLASSES:
            return f"[{_CLASSES[char][wide]}]"
        return self._simple_escape(char, within_class=True)


def _literal(char: str) -> str:
    """`char` itself, inside and outside of classes: every ASCII punctuation mark can be escaped."""
    return f"\\x{{{ord(char):X}}}" if char.isascii() and not char.isalnum() else char
