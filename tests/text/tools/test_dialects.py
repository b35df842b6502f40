"""Every dialect: its answers are what its grammar allows, and become the same calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.text.detokenizer import Detokenizer
from pennyweight.text.grammar.compiler import GrammarCompiler
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.tools.gemma import GEMMA
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.hermes import HERMES
from pennyweight.text.tools.llama import LLAMA
from pennyweight.text.tools.mistral import MISTRAL_LIST, MISTRAL_NAMED
from pennyweight.text.tools.phi import PHI
from pennyweight.text.tools.tool import TextDelta, Tool
from tests.models.gguf_writer import Typed
from tests.models.tiny_vocabulary import bpe_vocabulary
from tests.text.grammar.walk import allowed_tokens, reaches
from tests.text.tools.answers import call, joined, parse

if TYPE_CHECKING:
    from pennyweight.text.tools.dialect import Dialect
    from pennyweight.text.tools.tool import ToolEvent

ADD = Tool(
    name="add",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "s": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    },
    strict=True,
)
NOW = Tool(name="now")
DIGITS = Tool(name="digits", kind="custom", syntax="lark", definition="start: /[0-9]+/")
TOOLS = [ADD, NOW, DIGITS]
DIALECTS = [GENERIC, HERMES, LLAMA, GEMMA, MISTRAL_LIST, MISTRAL_NAMED, PHI]
WITH_TRIGGER = [dialect for dialect in DIALECTS if dialect.syntax.place == "anywhere"]
MARKS = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|tool_call|>", "<|/tool_call|>"]

ONE = '{"a": -1, "s": "}]é"}'
CALL = {
    "generic": f'<tool_call>\n{{"name": "add", "arguments": {ONE}}}\n</tool_call>',
    "hermes": f'<tool_call>\n{{"name": "add", "arguments": {ONE}}}\n</tool_call>',
    "llama": f'{{"name": "add", "parameters": {ONE}}}',
    "gemma": f'{{"name": "add", "parameters": {ONE}}}',
    "mistral": f'[TOOL_CALLS][{{"name": "add", "arguments": {ONE}}}]',
    "mistral-named": f"[TOOL_CALLS]add[ARGS]{ONE}",
    "phi": f'<|tool_call|>[{{"name": "add", "arguments": {ONE}}}]<|/tool_call|>',
}
TWO = {
    "hermes": CALL["hermes"] + '\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    "mistral": CALL["mistral"][:-1] + ', {"name": "now", "arguments": {}}]',
    "mistral-named": CALL["mistral-named"] + "[TOOL_CALLS]now[ARGS]{}",
    "phi": CALL["phi"][: -len("]<|/tool_call|>")] + ', {"name": "now", "arguments": {}}]<|/tool_call|>',
}
RAW = {
    "hermes": '<tool_call>\n{"name": "digits"}\n123\n</tool_call>',
    "llama": '{"name": "digits"}\n123',
    "mistral": '[TOOL_CALLS][{"name": "digits"}\n123]',
    "mistral-named": "[TOOL_CALLS]digits[ARGS]123",
    "phi": '<|tool_call|>[{"name": "digits"}\n123]<|/tool_call|>',
}
ADDED = call(0, "add", ONE)


def _tokenizer(*, control: bool) -> Tokenizer:
    """The tiny byte-level vocabulary, with the dialects' marks as control tokens or without."""
    metadata: dict[str, Any] = {
        key: value.value if isinstance(value, Typed) else value for key, value in bpe_vocabulary().items()
    }
    if control:
        metadata["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], *MARKS]
        metadata["tokenizer.ggml.token_type"] = [*metadata["tokenizer.ggml.token_type"], *[3] * len(MARKS)]
    return Tokenizer.from_metadata(metadata)


@pytest.fixture(scope="module", params=["text", "control"])
def kit(request: pytest.FixtureRequest) -> tuple[Tokenizer, GrammarCompiler]:
    tokenizer = _tokenizer(control=request.param == "control")
    return tokenizer, GrammarCompiler(tokenizer)


def _written(
    dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler], text: str, **choice: bool
) -> str | None:
    """What a client sees of `text` in the model's own tokens; None if the grammar forbids it."""
    tokenizer, compiler = kit
    control = tokenizer.special_tokens
    mask = dialect.mask(compiler, TOOLS, control=control, **choice)
    detokenizer = Detokenizer(tokenizer, prompt_tail=[0], shown=dialect.shown(control))
    shown = ""
    for token in tokenizer.encode(text, parse_special=True):
        if not mask.mask()[token // 8] >> token % 8 & 1:
            return None
        mask.accept(token)
        shown += detokenizer.push(token)
    return shown + detokenizer.flush() if mask.complete else None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("required", [True, False])
def test_a_call_is_allowed_and_found(
    dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler], required: bool
) -> None:
    text = CALL[dialect.name]
    assert _written(dialect, kit, text, required=required, parallel=True) == text
    for step in (1, 2, 5, 1000):
        assert parse(dialect, TOOLS, text, step=step) == ADDED


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_text_is_allowed_unless_a_call_is_required(
    dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler]
) -> None:
    for text in ("Hello [you] <b>", "", " 1 { 2"):
        assert _written(dialect, kit, text, required=False, parallel=True) == text
        assert _written(dialect, kit, text, required=True, parallel=True) is None
        assert parse(dialect, TOOLS, text, step=1) == ([TextDelta(text)] if text else [])


@pytest.mark.parametrize("dialect", WITH_TRIGGER, ids=lambda dialect: dialect.name)
def test_text_may_come_before_a_call_and_not_behind(
    dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler]
) -> None:
    text = f"I add.\n{CALL[dialect.name]}"
    assert _written(dialect, kit, text, required=False, parallel=True) == text
    assert parse(dialect, TOOLS, text, step=3) == [TextDelta("I add.\n"), *ADDED]
    for wrong in (f"{text} Bye", f"{dialect.syntax.trigger} no call"):
        assert _written(dialect, kit, wrong, required=False, parallel=True) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_arguments_of_a_strict_function_follow_its_schema(
    dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler]
) -> None:
    for wrong in ('{"a": "x"}', "{}", '{"a": 1, "b": 2}', '{"a":1}'):
        text = CALL[dialect.name].replace(ONE, wrong)
        assert _written(dialect, kit, text, required=False, parallel=True) is None, text


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d.name in TWO], ids=lambda dialect: dialect.name)
def test_calls_in_parallel(dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler]) -> None:
    text = TWO[dialect.name]
    assert _written(dialect, kit, text, required=True, parallel=True) == text
    assert _written(dialect, kit, text, required=True, parallel=False) is None
    for step in (1, 4, 1000):
        assert parse(dialect, TOOLS, text, step=step) == [*ADDED, *call(1, "now", "{}")]


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d.name in RAW], ids=lambda dialect: dialect.name)
def test_input_with_a_grammar_of_its_own(dialect: Dialect, kit: tuple[Tokenizer, GrammarCompiler]) -> None:
    text = RAW[dialect.name]
    assert _written(dialect, kit, text, required=True, parallel=False) == text
    assert _written(dialect, kit, text.replace("123", "12x"), required=True, parallel=False) is None
    for step in (1, 4, 1000):
        assert parse(dialect, TOOLS, text, step=step) == call(0, "digits", "123", custom=True)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_call_that_breaks_off_keeps_what_it_had(dialect: Dialect) -> None:
    text = CALL[dialect.name]
    for end in range(len(text)):
        events = parse(dialect, TOOLS, text[:end], step=1)
        if "add" in [getattr(event, "name", None) for event in events]:
            assert events[0] == ADDED[0]
            given = "".join(event.text for event in events[1:])
            assert ONE.startswith(given)
        else:
            assert "".join(event.text for event in events) == text[:end]


@pytest.mark.parametrize("dialect", WITH_TRIGGER, ids=lambda dialect: dialect.name)
def test_a_limit_shows_no_half_written_call(dialect: Dialect) -> None:
    """Neither at the start of an answer nor behind a text, where a single character may be text too."""
    text = CALL[dialect.name]
    for before, shortest in (("", 1), ("Let me see.\n", 2)):
        for end in range(shortest, text.index("add") + 1):
            parser = dialect.parser(TOOLS)
            events = joined([*parser.push(before + text[:end]), *parser.break_off()])
            assert events == ([TextDelta(before)] if before else [])
    parser = dialect.parser(TOOLS)
    assert joined([*parser.push("Is 1 <"), *parser.break_off()]) == [TextDelta("Is 1 <")]


def test_only_the_dialects_own_marks_are_allowed() -> None:
    tokenizer = _tokenizer(control=True)
    compiler = GrammarCompiler(tokenizer)
    control = tokenizer.special_tokens
    mask = HERMES.mask(compiler, TOOLS, required=False, parallel=True, control=control)
    special = {token for token in allowed_tokens(mask.mask()) if tokenizer.is_control(token)}
    assert special - tokenizer.end_token_ids == {control["<tool_call>"]}
    assert tokenizer.decode(
        HERMES.mask(compiler, TOOLS, required=True, parallel=True, control=control).forced(),
        skip_special=False,
    ).startswith('<tool_call>\n{"name": "')


def test_texts_of_marks_in_arguments_stay_text(kit: tuple[Tokenizer, GrammarCompiler]) -> None:
    tokenizer, compiler = kit
    text = CALL["hermes"].replace("}]é", "<tool_call></tool_call>")
    mask = HERMES.mask(compiler, TOOLS, required=True, parallel=False, control={})
    assert reaches(mask, tokenizer, text)
    assert parse(HERMES, TOOLS, text, step=1) == call(0, "add", ONE.replace("}]é", "<tool_call></tool_call>"))


def _events_of_history(dialect: Dialect, content: str) -> list[ToolEvent]:
    return joined(parse(dialect, TOOLS, content))


@pytest.mark.parametrize("dialect", [GENERIC, GEMMA, PHI], ids=lambda dialect: dialect.name)
def test_written_history_is_in_the_dialects_own_syntax(dialect: Dialect) -> None:
    function = {"name": "add", "arguments": json.dumps({"a": -1, "s": "}]é"})}
    messages = [
        {"role": "user", "content": "Add"},
        {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "x", "content": "3"},
        {"role": "user", "content": "Thanks"},
    ]
    prompt = dialect.prompt(messages, TOOLS)
    (assistant,) = [message for message in prompt.messages if message["role"] == "assistant"]
    assert _events_of_history(dialect, assistant["content"]) == ADDED
    assert "3" in prompt.messages[-1]["content"] + prompt.messages[-2]["content"]
    assert prompt.messages[-1]["content"].endswith("Thanks")
    assert all("tool_calls" not in message for message in prompt.messages)
