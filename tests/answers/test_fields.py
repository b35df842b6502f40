"""Numbers at the edge of what Python can hold and spell; metadata at the edge of what is kept."""

from __future__ import annotations

import pytest

from pennyweight.answers.fields import Integer, Number, ParameterError, TextMap


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


def test_metadata_as_long_as_it_may_be() -> None:
    """Characters, not bytes."""
    longest = {f"{number:0>2}".ljust(64, "ü"): "😀" * 512 for number in range(16)}
    assert TextMap().read(longest, "metadata") == longest


@pytest.mark.parametrize(
    ("entries", "param", "told"),
    [
        ({str(number): "" for number in range(17)}, "metadata", "17 entries; it may have 16"),
        ({"k" * 65: ""}, "metadata", "the key 'kkk.* of 65 characters; it may have 64"),
        ({"who": "ü" * 513}, "metadata.who", "'metadata.who' has 513 characters; it may have 512"),
        ({"who": 1}, "metadata.who", "expected a string, but got an integer"),
        ({"who": "\ud800"}, "metadata.who", "half a surrogate pair"),
        ({"\ud800": ""}, "metadata", "half a surrogate pair"),
    ],
)
def test_metadata_that_is_refused_is_named(entries: dict[str, object], param: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told) as caught:
        TextMap().read(entries, "metadata")
    assert caught.value.param == param
