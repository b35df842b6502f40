"""The query of `/v1/organization/usage/*` and `/v1/organization/costs`: what time, in what buckets, of whom.

(https://platform.openai.com/docs/api-reference/usage.) Lists come as `name`, `name[]`, repeated, with commas.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pennyweight.answers.fields import ParameterError, missing, unknown
from pennyweight.store.usage import REACHED_A_MODEL, UsageQuery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.datastructures import QueryParams

    from pennyweight.store.usage import Dimension

T = TypeVar("T")
DIMENSION_OF: Final[Mapping[str, Dimension]] = {
    "project_id": "project_id",
    "api_key_id": "key_id",
    "model": "model",
    "line_item": "model",
    "batch": "batch",
}
"""What can be grouped by, and the dimension it stands for."""
_CONSTANT: Final = frozenset({"user_id", "service_tier", "api_source", "size", "source", "vector_store_id"})
"""What can be asked for, and is the same for all usage here."""
_FILTERS: Final[Mapping[str, Dimension]] = {
    "project_ids": "project_id",
    "api_key_ids": "key_id",
    "models": "model",
}
_WITHOUT_MATCH: Final = frozenset(
    {"user_ids", "sizes", "sources", "vector_store_ids"}
)  # we have none of these
_PLAIN: Final = ("start_time", "end_time", "bucket_width", "limit", "page", "batch")
_PAGE: Final = "page_"
_LAST: Final = 2**40  # seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLimits:
    """How many buckets a page has: unless told, and at most."""

    seconds: int
    default: int
    most: int


WIDTHS: Final = {
    "1m": BucketLimits(seconds=60, default=60, most=1440),
    "1h": BucketLimits(seconds=3600, default=24, most=168),
    "1d": BucketLimits(seconds=86400, default=7, most=31),
}
COST_WIDTHS: Final = {"1d": BucketLimits(seconds=86400, default=7, most=180)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One page: `query` covers it, `end` is that of all pages, `group_by` has names of the interface.

    `nobody`: a filter holds for nothing here.
    """

    query: UsageQuery
    end: int
    group_by: tuple[str, ...]
    nobody: bool

    @property
    def next_page(self) -> str | None:
        """The cursor behind this page, if anything is left."""
        return f"{_PAGE}{self.query.end}" if self.query.end < self.end else None

    def buckets(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each; the first and the last are cut to what was asked."""
        width, begin = self.query.width_s, self.query.start
        assert width is not None
        while begin < self.query.end:
            end = min(begin - begin % width + width, self.query.end)
            yield begin, end
            begin = end


def read_wish(params: QueryParams, widths: Mapping[str, BucketLimits], *, kind: str | None) -> Wish:
    """Raises ParameterError naming the parameter that is missing, unknown or malformed."""
    values = _values(params)
    if "start_time" not in values:
        raise missing("start_time")
    limits = _choice(values, "bucket_width", widths, default="1d")
    start = _whole(values, "start_time", 0)
    end = _whole(values, "end_time", int(time.time()) + 1)
    if end <= start:
        raise _wrong("end_time", "later than 'start_time'", str(end))
    begin = _page_start(values, start, end)
    num_buckets = _whole(values, "limit", limits.default, most=limits.most, least=1)
    stop = begin - begin % limits.seconds + num_buckets * limits.seconds
    group_by = tuple(dict.fromkeys(values.get("group_by", ())))
    for name in group_by:
        if name not in DIMENSION_OF and name not in _CONSTANT:
            raise _wrong("group_by", f"some of {', '.join((*DIMENSION_OF, *sorted(_CONSTANT)))}", name)
    by = dict.fromkeys(DIMENSION_OF[name] for name in group_by if name in DIMENSION_OF)
    query = UsageQuery(
        start=begin,
        end=min(stop, end),
        width_s=limits.seconds,
        by=tuple(by),
        filters=_filters(values, kind),
    )
    return Wish(query=query, end=end, group_by=group_by, nobody=not _WITHOUT_MATCH.isdisjoint(values))


def _values(params: QueryParams) -> dict[str, list[str]]:
    known = (*_PLAIN, "group_by", *_FILTERS, *_WITHOUT_MATCH)
    values: dict[str, list[str]] = {}
    for key, text in params.multi_items():
        name = key.removesuffix("[]")
        if name not in known:
            raise unknown(name, known)
        if "\0" in text:  # no name has it, and PostgreSQL takes no text that has
            raise _wrong(name, "without a character of code 0", "...")
        parts = [text] if name in _PLAIN else [part for part in text.split(",") if part]
        values.setdefault(name, []).extend(parts)
    return values


def _filters(values: Mapping[str, Sequence[str]], kind: str | None) -> dict[Dimension, Sequence[str | bool]]:
    filters: dict[Dimension, Sequence[str | bool]] = {
        dimension: values[name] for name, dimension in _FILTERS.items() if name in values
    }
    if "batch" in values:
        filters["batch"] = [_choice(values, "batch", {"true": True, "false": False}, default="true")]
    if kind is not None:
        filters["kind"] = [kind]
    filters["outcome"] = REACHED_A_MODEL
    return filters


def _page_start(values: Mapping[str, Sequence[str]], start: int, end: int) -> int:
    if "page" not in values:
        return start
    text = values["page"][-1]
    number = text.removeprefix(_PAGE)
    if not text.startswith(_PAGE) or not _is_whole(number) or not start <= int(number) < end:
        raise _wrong("page", "the 'next_page' of the page before, with the same other parameters", text)
    return int(number)


def _choice(values: Mapping[str, Sequence[str]], name: str, known: Mapping[str, T], *, default: str) -> T:
    text = values.get(name, [default])[-1]
    if text not in known:
        raise _wrong(name, f"one of {', '.join(known)}", text)
    return known[text]


def _whole(
    values: Mapping[str, Sequence[str]], name: str, default: int, *, most: int = _LAST, least: int = 0
) -> int:
    if name not in values:
        return default
    text = values[name][-1]
    if not _is_whole(text) or not least <= int(text) <= most:
        raise _wrong(name, f"a whole number from {least} to {most}", text)
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _wrong(name: str, wanted: str, got: str) -> ParameterError:
    return ParameterError(f"'{name}' must be {wanted}, not '{got:.80}'.", param=name, code="invalid_value")
