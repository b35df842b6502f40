"""Masks and forced tokens over the vocabularies of real models."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import TYPE_CHECKING

import pytest

from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.grammar.source import json_schema
from tests.text import vocabularies
from tests.text.grammar.walk import allowed_tokens, random_answer, reaches

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.text.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "größe": {"type": "string"},
        "kind": {"enum": ["a long enough constant", "a long enough value", "日本語 🙂"]},
        "n": {"type": "integer"},
    },
    "required": ["größe", "kind", "n"],
    "additionalProperties": False,
}


@cache
def _kit(data: Path, name: str) -> tuple[Tokenizer, GrammarCompiler]:
    tokenizer = vocabularies.tokenizer(data, name)
    return tokenizer, GrammarCompiler(tokenizer)


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3"])
def test_texts_of_any_script_can_be_written(shared_data: Path, name: str) -> None:
    tokenizer, compiler = _kit(shared_data, name)
    grammar = compiler.compile(json_schema(SCHEMA))
    for text in (*vocabularies.translations(shared_data)[::60], '"\\\n\t🙂'):
        answer = {"größe": text, "kind": "日本語 🙂", "n": -3}
        assert reaches(grammar, tokenizer, json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
    assert not reaches(grammar, tokenizer, '{"größe":"x","kind":"other","n":1}')


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3"])
def test_forced_tokens_are_those_the_masks_leave(shared_data: Path, name: str) -> None:
    tokenizer, compiler = _kit(shared_data, name)
    rng = random.Random(name)
    for _ in range(4):
        grammar = compiler.compile(json_schema(SCHEMA))
        forced = 0
        for _ in range(60):
            run = list(grammar.forced())
            for token in run:
                assert allowed_tokens(grammar.mask()) == [token]
                grammar.accept(token)
            forced += len(run)
            allowed = allowed_tokens(grammar.mask())
            if tokenizer.end_token_ids & set(allowed):
                break
            closing = [token for token in allowed if tokenizer.token_bytes(token) in (b'"', b'",')]
            grammar.accept(rng.choice(closing or allowed))
        assert forced >= 4


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm"])
def test_random_answers_decode_to_valid_json(shared_data: Path, name: str) -> None:
    tokenizer, compiler = _kit(shared_data, name)
    short = {**SCHEMA, "properties": {**SCHEMA["properties"], "größe": {"type": "string", "maxLength": 4}}}  # type: ignore[dict-item]
    grammar = compiler.compile(json_schema(short))
    for seed in range(6):
        text = random_answer(grammar, tokenizer, random.Random(seed), max_tokens=120)
        assert text is not None
        assert list(json.loads(text)) == ["größe", "kind", "n"]
