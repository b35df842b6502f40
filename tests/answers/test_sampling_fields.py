"""Python keywords are checked as the HTTP interface checks its fields."""

from __future__ import annotations

import pytest

from pennyweight.answers.fields import ParameterError
from pennyweight.answers.options import Options
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS, options_from_keywords


def test_nothing_given_is_the_default() -> None:
    assert options_from_keywords({}) == Options()
    assert options_from_keywords({field.name: None for field in SAMPLING_FIELDS}) == Options()


def test_an_unknown_keyword_raises_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match=r"'temprature'\. Did you mean 'temperature'"):
        options_from_keywords({"temprature": 0})


def test_a_keyword_left_out_is_unknown() -> None:
    with pytest.raises(ParameterError, match="Unknown parameter: 'n'"):
        options_from_keywords({"n": 2}, without=frozenset({"n"}))


def test_python_may_give_token_ids_as_numbers_and_stop_as_a_tuple() -> None:
    options = options_from_keywords({"logit_bias": {3: 1}, "stop": ("a", "b")})
    assert options.sampling.logit_bias == {3: 1.0}
    assert options.stop == ("a", "b")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1"])
def test_only_finite_numbers(value: object) -> None:
    with pytest.raises(ParameterError):
        options_from_keywords({"temperature": value})


def test_top_p_zero_keeps_only_the_likeliest() -> None:
    assert 0 < options_from_keywords({"top_p": 0}).sampling.top_p < 1e-5
