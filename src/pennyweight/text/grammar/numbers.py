"""Bounds and multiples of numbers, in the form that llguidance and every validator read alike.

llguidance keeps bounds as 64-bit floats and prints them with their shortest digits; validators compare the
number they parsed, most of them a 64-bit float. So bounds are moved inwards to exact values, numbers between
exclusive bounds get few enough digits to stay off the bound when they are rounded, and multiples are integers
or halves, quarters, ...: 0.29 is no multiple of 0.01 in floats (0.29 / 0.01 is 28.999999999999996).
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EXACT = 2**53
"""Every integer below it is a 64-bit float, printed with all its digits."""

LARGEST_BOUND = 9_000_000_000_000_000_000
"""Bounds beyond it are moved to it: integers are made of signed 64-bit ones."""

MAX_MULTIPLE = 10_000
MAX_SUM_OF_MULTIPLES = 50_000
"""llguidance keeps a state per remainder: 100,000 of them take half a second."""
MAX_PRODUCT = 2**31
"""llguidance multiplies the multiples that meet in one number as 32-bit integers."""

LOWER, UPPER = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
_MAX_DIGITS = 9


class NumberError(ValueError):
    """Says which keyword cannot be enforced, and why."""

    def __init__(self, keyword: str, why: str) -> None:
        super().__init__(why)
        self.keyword = keyword


def exact_bounds(schema: dict[str, Any]) -> None:
    """Replaces the four bounds of `schema` by ones that are exact as floats, never wider."""
    for keyword in (*LOWER, *UPPER):
        value = schema.get(keyword)
        if value is None or isinstance(value, bool):
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise NumberError(keyword, f"{value!r} is no finite number")
        schema[keyword] = _moved(value, keyword, upwards=keyword in LOWER)
    for inclusive, exclusive in (LOWER, UPPER):  # draft 4 says with a boolean what kind of bound it is
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and inclusive in schema:
            schema[exclusive] = schema.pop(inclusive)


def bound_integers(schema: dict[str, Any]) -> None:
    """Gives integers the bounds of 64 bits where they have none: no answer is one number without end."""
    if not any(keyword in schema for keyword in LOWER):
        schema["minimum"] = -LARGEST_BOUND
    if not any(keyword in schema for keyword in UPPER):
        schema["maximum"] = LARGEST_BOUND


def check_constant(value: float, keyword: str) -> None:
    """Refuses a literal number that would come out as another one."""
    exact = math.isfinite(value) and abs(value) <= LARGEST_BOUND and float(value) == value
    if exact and isinstance(value, float) and value.is_integer():
        exact = Decimal(repr(value)) == int(value)
    if not exact:
        raise NumberError(keyword, f"{value!r} has more digits than a 64-bit number holds")


def check_multiple(value: Any) -> Fraction:
    """The number `multipleOf` asks for, if it is one that floats keep exactly."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise NumberError("multipleOf", f"{value!r} is no positive number")
    number = Fraction(value)
    if number.denominator != 1 and number.numerator != 1:
        raise NumberError(
            "multipleOf", f"{value!r} is no integer, and validators that compute in floats disagree about it"
        )
    if number > MAX_MULTIPLE or number.denominator > 1024:
        raise NumberError("multipleOf", f"{value!r} is not between 1/1024 and {MAX_MULTIPLE}")
    return number


def fit_together(multiples: Sequence[Fraction]) -> bool:
    """Whether llguidance can find the least common multiple of all of them."""
    places = max(map(_decimal_places, multiples))
    scaled = [int(multiple * 10**places) for multiple in multiples]
    return math.lcm(*scaled) * max(scaled) < MAX_PRODUCT


def _decimal_places(multiple: Fraction) -> int:
    places = 0
    while (multiple * 10**places).denominator != 1:
        places += 1
    return places


def safe_digits(schema: dict[str, Any]) -> int | None:
    """Decimal places that keep a number off an exclusive bound; None if nothing is exclusive.

    A decimal closer to the bound than a float's precision would be read as the bound itself.
    """
    bounds = [schema[keyword] for keyword in (LOWER[1], UPPER[1]) if keyword in schema]
    if not bounds:
        return None
    largest = max(abs(float(bound)) for bound in bounds)
    digits = 14 - math.ceil(math.log10(max(largest, 1.0)))
    return max(0, min(_MAX_DIGITS, digits))


def keep_off_zero(schema: dict[str, Any], step: float) -> None:
    """Makes exclusive bounds at 0 inclusive ones at the next multiple of `step`: -0 is below nothing."""
    if schema.get("exclusiveMinimum") == 0:
        del schema["exclusiveMinimum"]
        schema["minimum"] = max(step, schema.get("minimum", step))
    if schema.get("exclusiveMaximum") == 0:
        del schema["exclusiveMaximum"]
        schema["maximum"] = min(-step, schema.get("maximum", -step))


def _moved(value: float, keyword: str, *, upwards: bool) -> float:
    if abs(value) > LARGEST_BOUND:
        if (value > 0) == upwards:
            raise NumberError(keyword, f"{value!r} is beyond {LARGEST_BOUND}, the largest number made here")
        return -LARGEST_BOUND if value < 0 else LARGEST_BOUND
    if abs(value) >= MAX_EXACT:
        return _moved_whole(int(value), upwards=upwards)
    rounded = float(value)
    return int(rounded) if rounded.is_integer() else rounded


def _moved_whole(value: int, *, upwards: bool) -> int:
    """The next integer inwards that a float holds exactly and prints exactly: with 15 digits and zeros."""
    step: int = 10 ** (len(str(abs(value))) - 15)
    moved = -(-value // step) * step if upwards else value // step * step
    while int(float(moved)) != moved:
        moved += step if upwards else -step
    return moved
