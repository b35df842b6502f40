"""Words of every script are found however they are spelled, and rare ones count more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.retrieval.words import Weights, rarity, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café NAÏVE", "cafe naive"),
        ("Straße", "STRASSE"),
        ("user_name", "user name"),
        ("ﬁle", "file"),
        ("Ёлка", "елка"),
        ("한국어", "한국어".encode().decode()),
        ("cafe\u0301", "café"),
    ],
)
def test_spellings_that_are_the_same(one: str, other: str) -> None:
    assert list(words_of(one)) == list(words_of(other))


def test_words_between_blanks_and_pairs_without() -> None:
    assert list(words_of("It's 12.5 km")) == ["it", "s", "12", "5", "km"]
    assert len(list(words_of("हिन्दी में"))) == 2, "vowels belong to their letter"
    assert set(words_of("東京")) < set(words_of("東京タワー"))
    assert list(words_of("ab日本cd"))[0::2] == ["ab", "cd"]
    assert list(words_of("日")) != list(words_of("本"))


@given(st.text(max_size=200))
def test_whatever_is_written_words_are_plain(text: str) -> None:
    """Both databases would cut or drop other characters, each in its own way."""
    assert all(re.fullmatch("[a-z0-9]{1,32}", word) for word in words_of(text))


def test_bm25() -> None:
    """Against the formula, by hand: 4 chunks, one word in 1 of them, one in 3."""
    weights = Weights(of_word={"x": rarity(1, 4), "y": rarity(3, 4)}, mean_words=3.0)
    assert weights.of_word["x"] == pytest.approx(1.2039728)
    score = weights.score("x x z", 3)
    assert score == pytest.approx(1.2039728 * 2 * 2.2 / (2 + 1.2))
    longer = weights.score("x x z z z z", 6)
    assert 0 < longer < score < weights.most
    assert rarity(9, 4) == rarity(4, 4) > 0
