"""Grammars in a real engine with a tiny random model: whatever it would say, it says what is valid."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import jsonschema
import pytest

from pennyweight.core import FinishReason, SamplingParams
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.models.load import load
from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.grammar.mask import GrammarMask
from pennyweight.text.grammar.source import json_schema
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import CallStart, TextDelta, Tool
from tests.engine.listening import Listening
from tests.engine.requests import request
from tests.text.tools.answers import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

native = pytest.importorskip("pennyweight.native._native", reason="the extension is not built")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "kind": {"enum": ["cat", "dög", 3, None]},
        "when": {"type": "string", "format": "date"},
        "sizes": {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 99}, "maxItems": 3},
    },
    "required": ["name", "kind", "when", "sizes"],
    "additionalProperties": False,
}
HOT = SamplingParams(temperature=3.0, max_tokens=160)


class Engine:
    """A tiny model, its tokenizer and its compiler of grammars."""

    def __init__(self, path: Path) -> None:
        loaded = load(path)
        self.tokenizer = Tokenizer.from_metadata(loaded.metadata)
        self.compiler = GrammarCompiler(self.tokenizer, vocab_size=loaded.spec.vocab_size)
        limits = Limits(vocab_size=loaded.spec.vocab_size, context_length=512, num_pages=64)
        decoder = native.Decoder(loaded.model, num_pages=64, num_threads=1)
        self.loop = StepLoop(decoder, native, limits=limits, end_tokens=self.tokenizer.end_token_ids)

    def answer(self, mask: GrammarMask, sampling: SamplingParams, *, choices: int = 1) -> Listening:
        heard = Listening(choices)
        prompt = self.tokenizer.encode("hello there")
        wanted = request(prompt, sampling=sampling, mask_provider=mask, num_choices=choices)
        self.loop.submit(wanted, heard)
        return heard.wait()

    def text(self, tokens: Sequence[int]) -> str:
        return self.tokenizer.decode(tokens)


@pytest.fixture(scope="module")
def engine(tiny_llama_path: Path) -> Iterator[Engine]:
    engine = Engine(tiny_llama_path)
    yield engine
    engine.loop.close()


def test_answers_at_any_temperature_are_valid_or_cut_off(engine: Engine) -> None:
    grammar = engine.compiler.compile(json_schema(SCHEMA))
    finished = 0
    for seed in range(10):
        heard = engine.answer(grammar.fork(), replace(HOT, seed=seed), choices=2)
        for choice, end in heard.finished.items():
            assert end.reason in (FinishReason.STOP, FinishReason.LENGTH), end.error
            if end.reason is FinishReason.STOP:
                finished += 1
                value = json.loads(engine.text(heard.tokens[choice]))
                checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
                jsonschema.validate(value, SCHEMA, format_checker=checker)
    assert finished > 10


class _Unforced(GrammarMask):
    """Lets the engine sample what it could know."""

    def forced(self) -> Sequence[int]:
        return ()


def test_forced_tokens_change_no_answer(engine: Engine) -> None:
    for seed in range(4):
        sampling = replace(HOT, seed=seed)
        fast = engine.compiler.compile(json_schema(SCHEMA))
        ends, size = engine.tokenizer.end_token_ids, engine.compiler._vocab_size
        slow = _Unforced(fast.fork()._matcher, end_token_ids=ends, vocab_size=size)
        assert engine.answer(fast, sampling).tokens == engine.answer(slow, sampling).tokens


def test_a_required_call_is_made_by_a_model_that_knows_nothing_of_tools(engine: Engine) -> None:
    point = {
        "type": "object",
        "properties": {"x": {"enum": [1, 2]}},
        "required": ["x"],
        "additionalProperties": False,
    }
    tools = [
        Tool(name="move", parameters=point, strict=True),
        Tool(name="turn", parameters=point, strict=True),
    ]
    for seed in range(5):
        mask = GENERIC.mask(engine.compiler, tools, required=True, parallel=False, control={})
        heard = engine.answer(mask, replace(HOT, seed=seed))
        assert heard.finished[0].reason is FinishReason.STOP
        events = parse(GENERIC, tools, engine.text(heard.tokens[0]))
        assert isinstance(events[0], CallStart)
        assert not any(isinstance(event, TextDelta) for event in events)
        jsonschema.validate(json.loads("".join(event.text for event in events[1:])), point)  # type: ignore[union-attr]
