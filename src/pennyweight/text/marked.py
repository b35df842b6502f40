"""Strings that remember which of their characters came from a request.

A chat template may trim, split, slice, join and replace what it is given; a `MarkedText` goes through all of
that and still knows which characters a user wrote. Where a character's origin cannot be followed exactly
(changed case, formatting, JSON) the whole result counts as the user's: a mark may spread, it is never lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import index
from typing import Any, SupportsIndex, TypeVar, cast

from jinja2 import Undefined
from markupsafe import escape

Result = TypeVar("Result")

Marks = tuple[tuple[int, int], ...]
"""Disjoint ascending `[start, end)` stretches of untrusted characters."""


class MarkedText(str):
    """Text with marks. Methods of `str` that are not overridden here give no text (find, startswith, ...)."""

    __slots__ = ("marks",)
    marks: Marks

    def __new__(cls, text: str, marks: Marks | None = None) -> MarkedText:
        """`marks` None marks everything."""
        self = super().__new__(cls, text)
        self.marks = ((0, len(text)),) if marks is None and text else marks or ()
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return concat((self, other)) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> str:
        return concat([self] * index(count))

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> str:
        return MarkedText(plain(self) % values)

    def __rmod__(self, template: str) -> str:
        return MarkedText(template % plain(self))

    def __format__(self, spec: str) -> str:
        return MarkedText(format(plain(self), spec))

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if not isinstance(key, slice):
            start = index(key)  # TypeError for a name: Jinja tries `text["name"]` for `text.name`
            start += len(self) if start < 0 else 0
            if not 0 <= start < len(self):
                raise IndexError("string index out of range")
            return self._cut(start, start + 1)
        start, stop, step = key.indices(len(self))
        return self._cut(start, max(start, stop)) if step == 1 else MarkedText(str.__getitem__(self, key))

    def _cut(self, start: int, stop: int) -> str:
        marks = tuple(
            (max(a, start) - start, min(b, stop) - start) for a, b in self.marks if a < stop and b > start
        )
        return MarkedText(str.__getitem__(self, slice(start, stop)), marks)

    def strip(self, chars: str | None = None, /) -> str:
        kept = str.lstrip(self, chars)
        start = len(self) - len(kept)
        return self._cut(start, start + len(kept.rstrip(chars)))

    def lstrip(self, chars: str | None = None, /) -> str:
        return self._cut(len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> str:
        return self._cut(0, len(str.rstrip(self, chars)))

    def removeprefix(self, prefix: str, /) -> str:
        return self._cut(len(prefix) if self.startswith(prefix) else 0, len(self))

    def removesuffix(self, suffix: str, /) -> str:
        return self._cut(0, len(self) - len(suffix) if self.endswith(suffix) else len(self))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._locate(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._locate(str.rsplit(self, sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        return self._locate(str.splitlines(self, keepends), None)

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        return self._three(str.partition(self, sep))

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        return self._three(str.rpartition(self, sep))

    def _three(self, pieces: tuple[str, str, str]) -> tuple[str, str, str]:
        first, second = len(pieces[0]), len(pieces[0]) + len(pieces[1])
        return self._cut(0, first), self._cut(first, second), self._cut(second, len(self))

    def _locate(self, pieces: Iterable[str], sep: str | None) -> list[str]:
        """`pieces` of this text in order; without `sep` blanks lie between, which no piece begins with."""
        found, position = [], 0
        for piece in pieces:
            position = self.index(piece, position) if sep is None else position
            found.append(self._cut(position, position + len(piece)))
            position += len(piece) + len(sep or "")
        return found

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return MarkedText(str.replace(self, old, new, count))
        pieces, position, left = [], 0, index(count)
        while left != 0 and (at := self.find(old, position)) >= 0:
            pieces += [self._cut(position, at), new]
            position = at + len(old)
            left -= 1
        return concat([*pieces, self._cut(position, len(self))])

    def join(self, items: Iterable[str], /) -> str:
        pieces: list[str] = []
        for item in items:
            pieces += [self, item] if pieces else [item]
        return concat(pieces)


class SafeText(MarkedText):
    """What Jinja's `safe` gives: adding to it escapes the other side for HTML, as in `transformers`."""

    __slots__ = ()

    def __add__(self, other: str) -> str:
        return _safe(concat((self, _escape(other)))) if isinstance(other, str) else NotImplemented

    def __radd__(self, other: str) -> str:
        return _safe(concat((_escape(other), self))) if isinstance(other, str) else NotImplemented


def _safe(text: str) -> SafeText:
    return SafeText(text, marks_of(text))


def _escape(text: str) -> str:
    if isinstance(text, SafeText):
        return text
    escaped = str(escape(plain(text)))
    return MarkedText(escaped) if marks_of(text) else escaped


def plain(text: str) -> str:
    """The same characters without marks."""
    return str.__str__(text)


def concat(pieces: Iterable[str]) -> str:
    """The pieces one after the other, each with its marks; an ordinary string if none has any."""
    pieces = list(pieces)
    text = "".join(pieces)
    marks: list[tuple[int, int]] = []
    offset = 0
    for piece in pieces:
        for start, end in () if type(piece) is str else marks_of(piece):
            if marks and marks[-1][1] == start + offset:
                marks[-1] = (marks[-1][0], end + offset)
            else:
                marks.append((start + offset, end + offset))
        offset += len(piece)
    return MarkedText(text, tuple(marks)) if marks else text


def marks_of(text: str) -> Marks:
    return text.marks if isinstance(text, MarkedText) else ()


def mark(value: Any) -> Any:
    """`value` (plain JSON data) with every string in it marked, keys included."""
    if isinstance(value, str):
        return MarkedText(value)
    if isinstance(value, Mapping):
        return {mark(key): mark(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mark(item) for item in value]
    return value


def written(value: Any) -> str:
    """`value` as text: a text as it is, anything that may hold a user's text marked as a whole."""
    if isinstance(value, str):
        return value
    return str(value) if _is_plain(value) else MarkedText(str(value))


def is_tainted(values: Iterable[Any]) -> bool:
    """Whether any of `values` may hold a user's text: marked text, or anything that is not plain data."""
    return any(bool(marks_of(v)) if isinstance(v, MarkedText) else not _is_plain(v) for v in values)


def spread_mark(result: Result, sources: Iterable[Any]) -> Result:
    """`result`, marked if it is unmarked text made from a user's text."""
    if not isinstance(result, str) or isinstance(result, MarkedText):
        return result
    return cast("Result", MarkedText(result)) if is_tainted(sources) else result


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool) or isinstance(value, Undefined)


def _spread(name: str) -> Callable[..., str]:
    """The method of `str` called `name`, its whole result marked unless nothing changed."""
    original = getattr(str, name)

    def method(self: MarkedText, *args: Any, **kwargs: Any) -> str:
        result: str = original(self, *args, **kwargs)
        return self if result == self else MarkedText(result)

    method.__name__ = name
    return method


_CASES = ("capitalize", "casefold", "lower", "swapcase", "title", "translate", "upper")
_LAYOUTS = ("center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill")
for _name in (*_CASES, *_LAYOUTS):
    setattr(MarkedText, _name, _spread(_name))
