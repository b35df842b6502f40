"""Prices are exact, dated, and the operator's own come first."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.core import Usage
from pennyweight.cost.price_list import read_prices
from pennyweight.cost.prices import PICODOLLARS, Kind, Price, Prices
from pennyweight.errors import ConfigError
from pennyweight.store.usage import KINDS, VECTOR_STORES

MILLION = 1_000_000


def _prices(text: str) -> Prices:
    return read_prices(tomllib.loads(text, parse_float=Decimal)["prices"])


def _dollars(price: Price, *, batch: bool = False, **tokens: int) -> Decimal:
    return Decimal(price.of(Usage(**tokens), batch=batch)) / PICODOLLARS


def test_the_default_is_gpt_4o_minis_price_and_half_of_it_in_batches() -> None:
    price = Prices().price(model="any", kind="completions", at=0)
    assert _dollars(price, prompt_tokens=MILLION) == Decimal("0.15")
    assert _dollars(price, prompt_tokens=MILLION, cached_tokens=MILLION) == Decimal("0.075")
    assert _dollars(price, completion_tokens=MILLION) == Decimal("0.60")
    assert _dollars(price, prompt_tokens=1, cached_tokens=1, batch=True) == Decimal("0.0000000375")


def test_embeddings_have_a_price_of_their_own() -> None:
    price = Prices().price(model="any", kind="embeddings", at=0)
    assert _dollars(price, prompt_tokens=MILLION) == Decimal("0.02")


@given(
    prompt=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    completion=st.integers(0, 10**6),
    batch=st.booleans(),
)
def test_a_sum_costs_as_much_as_its_parts(prompt: int, cached: int, completion: int, batch: bool) -> None:
    price = Prices().price(model="any", kind="completions", at=0)
    first = Usage(prompt_tokens=prompt + cached, cached_tokens=cached)
    second = Usage(completion_tokens=completion)
    whole = Usage(prompt_tokens=prompt + cached, cached_tokens=cached, completion_tokens=completion)
    assert price.of(first, batch=batch) + price.of(second, batch=batch) == price.of(whole, batch=batch)


def test_wrong_guesses_are_not_billed() -> None:
    price = Prices().price(model="any", kind="completions", at=0)
    assert price.of(Usage(rejected_prediction_tokens=9)) == 0


def test_own_prices_hold_from_their_date_on_and_before_it_the_default() -> None:
    prices = _prices("[[prices]]\nsince = 2027-01-01\ninput = 1\noutput = 2.5\n")
    new_year = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    before = prices.price(model="m", kind="completions", at=new_year - 1)
    after = prices.price(model="m", kind="completions", at=new_year)
    assert (before.prompt, after.prompt, after.cached, after.completion) == (
        150_000,
        MILLION,
        MILLION,
        2_500_000,
    )


def test_a_models_own_price_comes_before_that_of_any_model_and_the_newest_before_older_ones() -> None:
    prices = _prices(
        "[[prices]]\ninput = 9\n"
        '[[prices]]\nmodel = "small"\ninput = 1\n'
        '[[prices]]\nmodel = "small"\nsince = 2027-01-01T12:00:00Z\ninput = 2\n'
        '[[prices]]\nkind = "embeddings"\ninput = 3\nbatch_percent = 100\n'
    )
    noon = int(datetime(2027, 1, 1, 12, tzinfo=UTC).timestamp())
    found = [
        prices.price(model=model, kind="completions", at=at).prompt
        for model, at in (("other", noon), ("small", noon - 1), ("small", noon))
    ]
    assert found == [9 * MILLION, MILLION, 2 * MILLION]
    embeddings = prices.price(model="small", kind="embeddings", at=0)
    assert embeddings.of(Usage(prompt_tokens=1), batch=True) == 3 * MILLION


def test_fractions_of_the_smallest_unit_are_rounded_up() -> None:
    price = Price(prompt=1, cached=1, completion=1, batch_percent=33)
    assert price.of(Usage(prompt_tokens=1), batch=True) == 1
    assert price.of(Usage(prompt_tokens=200), batch=True) == 66


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("output = 1", "has no 'input'"),
        ("input = 1\nprice = 2", "unknown key 'price'"),
        ('input = "1"', "'input' must be a number"),
        ("input = true", "'input' must be a number"),
        ("input = -1", "'input' must be from 0"),
        ("input = 0.0000001", "at most 6 digits"),
        ("input = nan", "'input' must be"),
        ("input = inf", "'input' must be"),
        ("input = 1\nbatch_percent = 0.5", "'batch_percent' must be a whole number"),
        ('input = 1\nkind = "images"', "one of completions, embeddings"),
        ("input = 1\nmodel = 3", "the name of a model"),
        ('input = 1\nsince = "2027-01-01"', "without quotes"),
    ],
)
def test_what_is_no_price_is_refused_with_its_place(row: str, said: str) -> None:
    with pytest.raises(ConfigError, match="row 2") as raised:
        _prices(f"[[prices]]\ninput = 1\nsince = 2020-01-01\n[[prices]]\n{row}\n")
    assert said in raised.value.message


def test_two_rows_for_the_same_are_refused() -> None:
    with pytest.raises(ConfigError, match="keep one"):
        _prices("[[prices]]\ninput = 1\n[[prices]]\ninput = 2\n")


def test_what_is_priced_is_what_the_store_knows() -> None:
    """What vector stores embed has the price of embeddings, and is told apart in the store alone."""
    assert {*get_args(Kind), VECTOR_STORES} == set(KINDS)
