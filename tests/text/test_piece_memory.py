"""What was encoded before is not encoded again, for its owner alone and within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.text.piece_memory import MIN_CHARS, PieceMemory
from pennyweight.text.prompt import PromptPart
from tests.answers.scripted_engine import read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.text.tokenizer import Before

BEFORE: tuple[Before, ...] = ("nothing", "special", "text")
LONG = "word " * MIN_CHARS


class Encoder:
    """Counts what it is asked to encode."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Before]] = []

    def __call__(self, piece: str, *, before: Before) -> list[int]:
        self.asked.append((piece, before))
        return [len(piece), len(before)]


def test_a_long_piece_is_encoded_once_for_each_owner_and_place() -> None:
    memory, encode = PieceMemory(), Encoder()
    for _ in range(2):
        for owner in ("a", "b"):
            for before in BEFORE:
                own = memory.of(owner)
                assert list(own.ids(LONG, before=before, encode=encode)) == [len(LONG), len(before)]
    assert encode.asked == [(LONG, before) for _ in range(2) for before in BEFORE]


def test_short_pieces_are_not_kept() -> None:
    memory, encode = PieceMemory(), Encoder()
    for _ in range(2):
        memory.of("a").ids("short", before="special", encode=encode)
    assert len(encode.asked) == 2


def test_the_longest_unused_goes_first() -> None:
    texts = [letter * MIN_CHARS for letter in "abc"]
    memory, encode = PieceMemory(max_chars=2 * MIN_CHARS), Encoder()
    own = memory.of("a")
    for text in (texts[0], texts[1], texts[0], texts[2], texts[0], texts[1]):
        own.ids(text, before="text", encode=encode)
    assert [text[0] for text, _ in encode.asked] == ["a", "b", "c", "b"]


def test_remembered_prompts_have_the_same_ids(tiny_llama_path: Path) -> None:
    tokenizer = read_tokenizer(tiny_llama_path)
    parts = [PromptPart("<|start|>", trusted=True), PromptPart(LONG, trusted=False), PromptPart("!", True)]
    memory = PieceMemory()
    plain = tokenizer.encode_parts(parts, add_bos=True)
    for _ in range(2):
        assert tokenizer.encode_parts(parts, add_bos=True, known=memory.of("a")) == plain
