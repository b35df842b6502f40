"""Numbers at the edge of what Python can hold and spell."""

from __future__ import annotations

import pytest

from pennyweight.answers.fields import Integer, Number, ParameterError


@pytest.mark.parametrize("kind", [Number(low=0, high=2), Integer(low=0)])
@pytest.mark.parametrize("num_digits", [400, 5000])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_of_many_digits_is_out_of_range(
    kind: Number | Integer, num_digits: int, sign: int
) -> None:
    with pytest.raises(ParameterError, match=f"about {num_digits} digits is out of range") as caught:
        kind.read(sign * (10**num_digits - 1), "x")
    assert caught.value.code == ("integer_above_max_value" if sign > 0 else "integer_below_min_value")
    assert len(caught.value.message) < 120


def test_what_is_short_enough_is_shown() -> None:
    with pytest.raises(ParameterError, match="Invalid 'x': 3 is out of range"):
        Number(low=0, high=2).read(3, "x")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_is_finite(value: str) -> None:
    with pytest.raises(ParameterError, match=f"expected a finite number, but got {value}"):
        Number(low=0, high=2).read(float(value), "x")
