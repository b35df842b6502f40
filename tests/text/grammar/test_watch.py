"""A grammar that becomes ambiguous late costs its own answer, in bounded time, and nobody else's."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.core import FinishReason, SamplingParams
from pennyweight.errors import EngineError, OverloadedError
from pennyweight.text.grammar.mask import GrammarMask
from pennyweight.text.grammar.source import json_schema, lark, regex
from pennyweight.text.grammar.watch import MOST_LEFT, SlowStepError, Watch, WatchedMask
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import Tool
from tests.engine.listening import Listening
from tests.engine.requests import request
from tests.text.grammar.test_grammar_engine import Engine
from tests.text.grammar.walk import allowed_tokens, random_answer, reaches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.tokenizer import Tokenizer

WAYS = 300
LATE = f"""start: x
x: "a" q | "zqjwkvzqjwkv"
q: x | {" | ".join(f'x "{chr(0x4E00 + way)}"' for way in range(WAYS))}"""
"""Each "a" opens an `x`; one "zqj..." closes them all at once, each in 300 ways: a row of 90,000 items."""
CALM = """start: line+
line: /[a-z]{1,3}/ "=" ("on" | "off") ";"
"""


def behind(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` where the first mask does not see it."""
    properties = {"first": {"const": "one"}, "then": schema}
    return {**closed(properties), "$defs": {"then": schema}}


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def compiled(compiler: GrammarCompiler, definition: str) -> WatchedMask:
    mask = compiler.compile(lark("start: @input", named={"input": definition}))
    assert isinstance(mask, WatchedMask)
    return mask


def watched(mask: GrammarMask, watch: Watch) -> WatchedMask:
    return WatchedMask(
        mask._matcher.deep_copy(), watch, end_token_ids=mask._ends, vocab_size=mask._vocab_size
    )


def deep(compiler: GrammarCompiler, tokenizer: Tokenizer) -> WatchedMask:
    """LATE behind 300 times "a": the next terminal makes it ambiguous."""
    watch = Watch(patience_s=30)
    mask = watched(compiled(compiler, LATE), watch)
    for token in tokenizer.encode_continuation("a" * 300):
        assert token in allowed_tokens(mask.mask())
        mask.accept(token)
    watch.patience_s = 0.1
    return mask


@pytest.fixture(scope="module")
def engine(tiny_llama_path: Path) -> Iterator[Engine]:
    engine = Engine(tiny_llama_path)
    yield engine
    engine.loop.close()


def test_only_what_anybody_may_have_written_is_watched(compiler: GrammarCompiler) -> None:
    sources = (json_schema({"type": "integer"}), regex("a+"), lark('start: "a"'))
    assert [type(compiler.compile(source)) for source in sources] == [GrammarMask] * 3
    custom = Tool(name="t", kind="custom", syntax="lark", definition=CALM)
    for tools, kind in (([Tool(name="f")], GrammarMask), ([Tool(name="f"), custom], WatchedMask)):
        assert type(GENERIC.mask(compiler, tools, required=True, parallel=False, control={})) is kind


def test_watching_changes_no_mask(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    mask = compiled(compiler, CALM)
    plain = GrammarMask(mask._matcher.deep_copy(), end_token_ids=mask._ends, vocab_size=mask._vocab_size)
    for seed in range(5):
        texts = [
            random_answer(grammar, tiny_tokenizer, random.Random(seed), max_tokens=60, end=0.2)
            for grammar in (mask, plain)
        ]
        assert texts[0] == texts[1]
    for token in tiny_tokenizer.encode_continuation("ab=o"):
        assert (mask.mask(), mask.forced(), mask.complete) == (plain.mask(), plain.forced(), plain.complete)
        mask.accept(token)
        plain.accept(token)
        assert mask.masks((token,)) == plain.masks((token,))
    with pytest.raises(EngineError, match="not allowed"):
        mask.accept(tiny_tokenizer.encode_continuation("=")[0])


def test_a_step_beyond_the_bound_ends_its_answer(
    compiler: GrammarCompiler, tiny_tokenizer: Tokenizer
) -> None:
    mask = deep(compiler, tiny_tokenizer)
    with pytest.raises(SlowStepError, match=r"takes longer than 0\.1 s"):
        mask.accept(tiny_tokenizer.encode_continuation("zqjwkv")[0])


def test_many_like_alternatives(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    """They are told apart as they come, however many they are."""
    schema = behind({"anyOf": [closed({"k": {"const": number}, "n": {"const": 1}}) for number in range(500)]})
    mask = compiler.compile(json_schema(schema))
    assert type(mask) is WatchedMask  # for its size
    assert reaches(mask, tiny_tokenizer, '{"first":"one","then":{"k":477,"n":1}}')


def test_a_schema_beyond_the_bound(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    items = [[{"$ref": "#/$defs/then"}, {"const": number}] for number in range(1500)]
    pairs = [{"type": "array", "prefixItems": pair, "items": False, "minItems": 2} for pair in items]
    mask = compiler.compile(json_schema(behind({"anyOf": [{"type": "null"}, *pairs]})))
    tokens = tiny_tokenizer.encode_continuation('{"first":"one","then":[[null')
    with pytest.raises(SlowStepError):
        list(map(mask.fork().accept, tokens))


def test_no_step_begins_while_others_are_left(compiler: GrammarCompiler) -> None:
    watch, go_on = Watch(), threading.Event()
    for _ in range(MOST_LEFT):
        with pytest.raises(SlowStepError, match="takes longer"):
            watch._run(lambda: b"" if go_on.wait(30) else None, 0.01)
    mask = watched(compiled(compiler, CALM), watch)
    with pytest.raises(OverloadedError, match="steps of other grammars"):
        mask.mask()
    go_on.set()
    for worker in watch._left:
        worker._thread.join()
    watch.patience_s = 30
    assert mask.mask()


def test_other_streams_go_on(engine: Engine) -> None:
    mask = deep(engine.compiler, engine.tokenizer)
    (first, *_) = engine.tokenizer.encode_continuation("zqjwkv")
    late, calm = Listening(1), Listening(1)
    sampling = SamplingParams(max_tokens=40, logit_bias={first: 100.0}, seed=1)
    engine.loop.submit(request([5, 6, 7], sampling=sampling, mask_provider=mask), late)
    free = SamplingParams(max_tokens=300, ignore_eos=True, seed=2)
    engine.loop.submit(request([8, 9], sampling=free), calm)
    end = late.wait().finished[0]
    assert end.reason is FinishReason.ERROR
    assert "takes longer than 0.1 s" in (end.error or "")
    assert calm.wait().finished[0].reason is FinishReason.LENGTH
    assert calm.num_tokens == 300
