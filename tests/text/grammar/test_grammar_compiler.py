"""Masks over tiny byte-level and SentencePiece-style vocabularies."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import EngineError, InvalidRequestError
from pennyweight.text.grammar import source
from pennyweight.text.grammar.compiler import KEPT_GRAMMARS, GrammarCompiler
from tests.text.grammar.walk import allowed_tokens, random_answer, reaches

if TYPE_CHECKING:
    from pennyweight.text.tokenizer import Tokenizer

_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_schema_lets_valid_json_through_and_nothing_else(
    compiler: GrammarCompiler, tiny_tokenizer: Tokenizer
) -> None:
    grammar = compiler.compile(source.json_schema(_PERSON))
    assert reaches(grammar, tiny_tokenizer, '{"name":"Zoë 𝄞 \\"x\\"","age":-3}')
    for text in (
        '{"name":"Zoë"}',
        '{"age":3,"name":"x"}',
        '{"name":"x","age":3} ',
        '{"name": "x","age":3}',
        "",
    ):
        assert not reaches(grammar, tiny_tokenizer, text), text


def test_spacing_is_fixed(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(source.json_schema(_PERSON, spacing="spaced"))
    assert reaches(grammar, tiny_tokenizer, '{"name": "x", "age": 3}')
    assert not reaches(grammar, tiny_tokenizer, '{"name":"x","age":3}')


def test_json_object_is_any_object(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(source.json_object())
    assert reaches(grammar, tiny_tokenizer, '{"a":[1.5e-3,null,{"b":"ü"}],"c":{}}')
    assert not reaches(grammar, tiny_tokenizer, "[1]")


def test_regex_and_lark(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(source.regex('a|"/\\d+\n?'))
    assert reaches(grammar, tiny_tokenizer, '"/12\n')
    assert reaches(grammar, tiny_tokenizer, "a")
    assert not reaches(grammar, tiny_tokenizer, "a12")
    grammar = compiler.compile(source.lark('start: "x" inner "y"\ninner: @in', named={"in": 'start: "ß"+'}))
    assert reaches(grammar, tiny_tokenizer, "xßßy")


def test_mask_fits_the_model_and_holds_end_tokens_only_at_the_end(tiny_tokenizer: Tokenizer) -> None:
    compiler = GrammarCompiler(tiny_tokenizer, vocab_size=1000)
    grammar = compiler.compile(source.regex("in|ix"))
    assert len(grammar.mask()) == 4 * 32
    allowed = allowed_tokens(grammar.mask())
    assert {tiny_tokenizer.token_bytes(token) for token in allowed} == {b"i", b"in"}
    assert not tiny_tokenizer.end_token_ids & set(allowed)
    for token in tiny_tokenizer.encode_continuation("in"):
        grammar.accept(token)
    assert set(allowed_tokens(grammar.mask())) == tiny_tokenizer.end_token_ids
    assert grammar.forced() == []


def test_forced_tokens_are_the_text_the_masks_leave(
    compiler: GrammarCompiler, tiny_tokenizer: Tokenizer
) -> None:
    """Byte for byte: a walk that samples every token writes what one that takes forced ones writes."""
    schema = {"type": "object", "properties": {"thé": {"const": "he ßll 𝄞"}}, "required": ["thé"]}
    text = json.dumps({"thé": "he ßll 𝄞"}, ensure_ascii=False, separators=(",", ":"))
    closed = {**schema, "additionalProperties": False}
    fast = compiler.compile(source.json_schema(closed))
    forced: list[int] = []
    while run := list(fast.forced()):
        assert tiny_tokenizer.encode_continuation(text)[len(forced) :][: len(run)] == run, "canonical"
        forced += run
        for token in run:
            fast.accept(token)
    start = b"".join(map(tiny_tokenizer.token_bytes, forced))
    assert text.encode().startswith(start)
    assert len(start) > len(text) // 2
    for seed in range(20):
        slow = compiler.compile(source.json_schema(closed))
        assert random_answer(slow, tiny_tokenizer, random.Random(seed), max_tokens=200) == text


@pytest.mark.parametrize("vocab_size", [320, 321, 351, 352])
def test_a_mask_has_a_bit_for_every_logit_and_no_word_more(
    tiny_tokenizer: Tokenizer, vocab_size: int
) -> None:
    compiler = GrammarCompiler(tiny_tokenizer, vocab_size=vocab_size)
    for text in ("a", ".*"):
        mask = compiler.compile(source.regex(text)).mask()
        assert len(mask) == 4 * -(-vocab_size // 32)
        assert max(allowed_tokens(mask)) < tiny_tokenizer.vocab_size


def test_forks_go_their_own_ways(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(source.regex("he|ll"))
    other = grammar.fork()
    for token in tiny_tokenizer.encode_continuation("he"):
        grammar.accept(token)
    assert grammar.complete
    assert reaches(other, tiny_tokenizer, "ll")


def test_a_dead_end_is_an_error_and_not_an_end(tiny_tokenizer: Tokenizer, compiler: GrammarCompiler) -> None:
    grammar = compiler.compile(source.regex("ab"))
    with pytest.raises(EngineError, match="not allowed"):
        grammar.accept(tiny_tokenizer.encode_continuation("b")[0])
    with pytest.raises(EngineError, match="cannot be continued"):
        grammar.mask()


@pytest.mark.parametrize(
    "broken",
    [
        source.regex("a(?=b)", param="x"),
        source.lark("start: nothing", param="x"),
        source.lark('start: "a" & ~"a"', param="x"),
    ],
)
def test_what_does_not_compile_names_the_field(
    compiler: GrammarCompiler, broken: source.GrammarSource
) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be enforced") as caught:
        compiler.compile(broken)
    assert caught.value.param == "x"


def test_compiled_grammars_are_kept_and_the_oldest_go(tiny_tokenizer: Tokenizer) -> None:
    compiler = GrammarCompiler(tiny_tokenizer)
    for number in range(KEPT_GRAMMARS + 5):
        compiler.compile(source.regex(f"x{number}"))
    assert len(compiler._kept) == KEPT_GRAMMARS
    first = compiler.compile(source.regex(f"x{KEPT_GRAMMARS}"))
    first.accept(tiny_tokenizer.encode_continuation("x")[0])
    again = compiler.compile(source.regex(f"x{KEPT_GRAMMARS}"))
    assert reaches(again, tiny_tokenizer, f"x{KEPT_GRAMMARS}"), "a kept grammar starts at the beginning"


def test_importing_grammars_imports_no_library() -> None:
    code = (
        "import sys, pennyweight.text.grammar.compiler, pennyweight.text.tools.detect;"
        "print(sorted({'llguidance', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_llguidance_imports_neither_numpy_nor_torch() -> None:
    code = "import sys, llguidance; print(sorted({'numpy', 'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
