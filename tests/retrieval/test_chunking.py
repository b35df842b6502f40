"""Chunks are never too long, lose nothing, and end where sentences and paragraphs do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.retrieval.chunking import automatic, chunks_of
from pennyweight.store.vector_store import StaticChunking


def words(text: str) -> int:
    return len(text.split())


def cut(text: str, most: int, overlap: int = 0) -> list[str]:
    return list(chunks_of(text, StaticChunking(max_tokens=most, overlap_tokens=overlap), words))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab .!\n\t。é"), max_size=300), st.integers(1, 12), st.integers(0, 6))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, most: int, overlap: int) -> None:
    chunks = cut(text, most, min(overlap, most // 2))
    assert all(chunk.strip() and words(chunk) <= most for chunk in chunks)
    if overlap == 0 or len(chunks) < 2:
        assert "".join("".join(chunks).split()) == "".join(text.split())
    place = 0  # every chunk follows the one before in the text, blanks aside
    bare = "".join(text.split())
    for chunk in chunks:
        own = "".join(chunk.split())
        found = bare.find(own, max(0, place - len(own) - len(bare)))
        assert found >= 0
        place = found + len(own)


def test_paragraphs_that_fit_stay_whole() -> None:
    text = "One two three. Four five.\n\nSix seven eight nine ten.\n\nEleven twelve."
    assert cut(text, 7) == ["One two three. Four five.", "Six seven eight nine ten.\n\nEleven twelve."]
    assert cut(text, 20) == [text]
    assert cut("", 5) == cut(" \n\n ", 5) == []


def test_a_long_paragraph_is_cut_between_sentences_and_a_long_sentence_between_words() -> None:
    assert cut("One two three. Four five six. Seven.", 4) == ["One two three.", "Four five six. Seven."]
    assert cut("one two three four five", 2) == ["one two", "three four", "five"]
    assert cut("長い文です。短い。", 1) == ["長い文です。", "短い。"]


def test_a_word_that_is_too_long_is_cut_anywhere() -> None:
    sizes = StaticChunking(max_tokens=10, overlap_tokens=0)
    assert list(chunks_of("x" * 35, sizes, len)) == ["x" * 8, "x" * 9, "x" * 9, "x" * 9]


def test_neighbours_share_whole_sentences() -> None:
    text = "A a. B b. C c. D d. E e."
    assert cut(text, 4, 2) == ["A a. B b.", "B b. C c.", "C c. D d.", "D d. E e."]
    assert cut(text, 4, 1) == ["A a. B b.", "C c. D d.", "E e."]


@pytest.mark.parametrize("window", [24, 254, 510])
def test_what_an_encoder_reads_decides_by_itself(window: int) -> None:
    sizes = automatic(window)
    assert (sizes.max_tokens, sizes.overlap_tokens) == (window, window // 8)
