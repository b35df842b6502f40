"""How reports are asked for on the command line: since when, and by what."""

from __future__ import annotations

from datetime import UTC, datetime

from pennyweight.cost.report import COLUMNS, DAY
from pennyweight.errors import InvalidRequestError

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 100 * 366 * 86400


def seconds_of(text: str, *, now: int) -> int:
    """`30d` before `now`, or a date, in seconds since 1970. Raises InvalidRequestError."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isascii() and number.isdigit():
        return max(0, now - min(_LONGEST_S, int(number) * _UNITS[unit]))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequestError(
            f"{text!r} is no time; give one such as 30d, 12h, 15m, or a date such as 2027-01-31"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def names_of(text: str) -> tuple[str, ...]:
    """`day,model` as names. Raises InvalidRequestError for one that is none."""
    known = (DAY, *COLUMNS)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in known:
            raise InvalidRequestError(f"reports are by {', '.join(known)}, not by {name!r}")
    return names
