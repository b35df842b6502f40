"""Text comes out token by token, only when it is certain, and adds up to the decoding of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.text.detokenizer import Detokenizer
from tests.text import vocabularies

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.text.tokenizer import Tokenizer


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer)
    return [*(detokenizer.push(token) for token in ids), detokenizer.flush()]


@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_texts_of_many_languages_add_up(shared_data: Path, name: str) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, name)
    for text in vocabularies.translations(shared_data)[::4]:
        ids = tokenizer.encode(text)
        pieces = streamed(tokenizer, ids)
        assert "".join(pieces) == tokenizer.decode(ids)
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_random_ids_add_up(shared_data: Path, name: str, data: Any) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, name)
    likely = [*range(280), *tokenizer.special_tokens.values()]  # bytes and control tokens are low or special
    token = st.one_of(st.integers(0, tokenizer.vocab_size - 1), st.sampled_from(likely))
    ids = data.draw(st.lists(token, max_size=30))
    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids)


def test_a_split_character_is_held_until_it_is_whole(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "llama-spm")
    byte = {value: 3 + value for value in range(256)}
    detokenizer = Detokenizer(tokenizer)
    assert [detokenizer.push(byte[value]) for value in "🦙".encode()] == ["", "", "", "🦙"]
    assert detokenizer.push(byte[0xF0]) == ""
    assert detokenizer.push(byte[0x41]) == "\N{REPLACEMENT CHARACTER}A"
    assert detokenizer.push(byte[0xE2]) == ""
    assert detokenizer.flush() == "\N{REPLACEMENT CHARACTER}"
    assert detokenizer.flush() == ""


def test_the_leading_space_goes_only_where_encoding_put_it(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "llama-spm")
    hello = tokenizer.encode("Hello")[0]
    assert Detokenizer(tokenizer).push(hello) == "Hello"
    assert Detokenizer(tokenizer, prompt_tail=[1]).push(hello) == "Hello"
    assert Detokenizer(tokenizer, prompt_tail=[1, hello]).push(hello) == " Hello"
    gpt = vocabularies.tokenizer(shared_data, "gpt-2")
    assert Detokenizer(gpt).push(gpt.encode(" Hello")[0]) == " Hello"


def test_control_tokens_are_silent(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "gpt-2")
    assert streamed(tokenizer, [50256, *tokenizer.encode("Hi"), 50256]) == ["", "Hi", "", ""]
