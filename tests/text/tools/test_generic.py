"""Tools for a model that was never taught any: instruction, grammar, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from pennyweight.errors import InvalidRequestError
from pennyweight.text.tools.generic import GENERIC, GENERIC_TAUGHT
from pennyweight.text.tools.tool import TextDelta, Tool
from tests.text.grammar.walk import reaches
from tests.text.tools.answers import call, parse

if TYPE_CHECKING:
    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.tokenizer import Tokenizer

WEATHER = Tool(
    name="get_weather",
    description="The weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)
NOW = Tool(name="now")
PYTHON = Tool(name="python", kind="custom")
LETTERS = Tool(name="letters", kind="custom", syntax="regex", definition="[a-c]/+")
DIGITS = Tool(name="digits", kind="custom", syntax="lark", definition='start: "a" NUM+\nNUM: /[0-9]/')
TOOLS = [WEATHER, NOW, PYTHON, LETTERS, DIGITS]


def _block(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


A_CALL = _block('{"name": "get_weather", "arguments": {"city": "Zürich \\"x\\""}}')
NOW_CALL = _block('{"name": "now", "arguments": {"any": [1, 2]}}')
PYTHON_CALL = _block('{"name": "python", "arguments": {"input": "print(\\"é\\\\n\\")\\n𝄞"}}')
LETTERS_CALL = _block('{"name": "letters", "arguments": {"input": "a//"}}')
DIGITS_CALL = _block('{"name": "digits"}\na12')
A_EVENTS = call(0, "get_weather", '{"city": "Zürich \\"x\\""}')

ANSWERS = [
    ("hi <tool", [TextDelta("hi <tool")]),
    (A_CALL, A_EVENTS),
    (f"Let me see.\n{A_CALL}", [TextDelta("Let me see.\n"), *A_EVENTS]),
    (f"{A_CALL}\n{NOW_CALL}", [*A_EVENTS, *call(1, "now", '{"any": [1, 2]}')]),
    (PYTHON_CALL, call(0, "python", 'print("é\\n")\n𝄞', custom=True)),
    (LETTERS_CALL, call(0, "letters", "a//", custom=True)),
    (f"{A_CALL}\n{DIGITS_CALL}", [*A_EVENTS, *call(1, "digits", "a12", custom=True)]),
]


@pytest.mark.parametrize(("text", "events"), ANSWERS)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_answers_of_the_grammar_become_events(
    tool_compiler: GrammarCompiler, tool_tokenizer: Tokenizer, text: str, events: list[object], step: int
) -> None:
    mask = GENERIC_TAUGHT.mask(tool_compiler, TOOLS, required=False, parallel=True, control={})
    assert reaches(mask, tool_tokenizer, text)
    for dialect in (GENERIC, GENERIC_TAUGHT):
        assert parse(dialect, TOOLS, text, step=step) == events


def test_a_model_that_was_never_taught_tools_makes_few_calls(
    tool_compiler: GrammarCompiler, tool_tokenizer: Tokenizer
) -> None:
    mask = GENERIC.mask(tool_compiler, TOOLS, required=False, parallel=True, control={})
    assert reaches(mask, tool_tokenizer, "\n".join([NOW_CALL] * 4))
    assert not reaches(mask, tool_tokenizer, "\n".join([NOW_CALL] * 5))


def test_required_leaves_nothing_but_calls(tool_compiler: GrammarCompiler, tool_tokenizer: Tokenizer) -> None:
    mask = GENERIC.mask(tool_compiler, [WEATHER, NOW], required=True, parallel=False, control={})
    assert tool_tokenizer.decode(mask.forced()).startswith('<tool_call>\n{"name": "')
    assert reaches(mask, tool_tokenizer, A_CALL)
    for text in ("hi", f"hi {A_CALL}", f"{A_CALL}\n{NOW_CALL}", DIGITS_CALL, f"{A_CALL} bye"):
        assert not reaches(mask, tool_tokenizer, text), text


def test_strict_arguments_are_valid_and_others_an_object(
    tool_compiler: GrammarCompiler, tool_tokenizer: Tokenizer
) -> None:
    loose = Tool(name="loose", parameters={"properties": {"a": {"not": {"type": "string"}}}})
    mask = GENERIC.mask(tool_compiler, [WEATHER, loose], required=True, parallel=False, control={})
    assert not reaches(mask, tool_tokenizer, _block('{"name": "get_weather", "arguments": {"days": 1}}'))
    assert reaches(mask, tool_tokenizer, _block('{"name": "loose", "arguments": {"a": "x"}}'))
    assert not reaches(mask, tool_tokenizer, _block('{"name": "loose", "arguments": [1]}'))


@pytest.mark.parametrize(
    "tool",
    [
        Tool(name="t", parameters={"properties": {"a": {"not": {}}}}, strict=True, param="tools[1].function"),
        Tool(name="t", parameters={"type": "string"}, param="tools[1].function"),
        Tool(name="t", kind="custom", syntax="lark", definition="start: nothing", param="tools[1].function"),
        Tool(name="t", kind="custom", syntax="regex", definition="(", param="tools[1].function"),
    ],
)
def test_what_cannot_be_enforced_is_named(tool_compiler: GrammarCompiler, tool: Tool) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        GENERIC.mask(tool_compiler, [NOW, tool], required=False, parallel=True, control={})
    assert caught.value.param is not None
    assert caught.value.param.startswith("tools[1].function")


@pytest.mark.parametrize("syntax", ["lark", "regex"])
def test_a_format_that_cannot_be_enforced_is_told_in_its_own_words(
    tool_compiler: GrammarCompiler, syntax: Literal["lark", "regex"]
) -> None:
    """Nobody wrote a schema or asked for `strict`."""
    tool = Tool(name="t", kind="custom", syntax=syntax, definition="(?=a)", param="tools[0].custom.format")
    with pytest.raises(InvalidRequestError) as caught:
        GENERIC.mask(tool_compiler, [tool], required=True, parallel=True, control={})
    assert caught.value.param == "tools[0].custom.format"
    assert "cannot be enforced" in caught.value.message
    assert "strict" not in caught.value.message
    assert "pattern`" not in caught.value.message


BROKEN = [
    ("<tool_call>{nonsense", [TextDelta("<tool_call>{nonsense")]),
    ("<tool_call>" + "x" * 600 + " <tool_call>", [TextDelta("<tool_call>" + "x" * 600 + " <tool_call>")]),
    (_block('{"name": "unknown", "arguments": {}}'), None),
    ('<tool_call>{"name":"now","arguments":{"a":1', call(0, "now", '{"a":1')),
    (
        '<tool_call> {"name" : "now" , "arguments" : { } } </tool_call> ok',
        [*call(0, "now", "{ }"), TextDelta("ok")],
    ),
]


@pytest.mark.parametrize(("text", "events"), BROKEN)
@pytest.mark.parametrize("step", [1, 1000])
def test_what_is_no_call_stays_text(text: str, events: list[object] | None, step: int) -> None:
    assert parse(GENERIC, TOOLS, text, step=step) == ([TextDelta(text)] if events is None else events)


def test_tools_and_history_become_text() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "now", "arguments": '{"a":1}'}},
                {"id": "2", "type": "custom", "custom": {"name": "python", "input": "1+1"}},
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "noon"},
        {"role": "tool", "tool_call_id": "2", "content": "2"},
    ]
    prompt = GENERIC.prompt(messages, [WEATHER, PYTHON])
    assert prompt.tools is None
    system, user, assistant, results = prompt.messages
    assert system["content"].endswith("\n\nBe brief.")
    assert '{"name": "get_weather", "description": "The weather", "parameters": ' in system["content"]
    assert user == messages[1]
    now, python = (
        '{"name": "now", "arguments": {"a": 1}}',
        '{"name": "python", "arguments": {"input": "1+1"}}',
    )
    assert assistant == {"role": "assistant", "content": f"{_block(now)}\n{_block(python)}"}
    assert results["role"] == "user"
    assert results["content"] == (
        "<tool_response>\nnoon\n</tool_response>\n<tool_response>\n2\n</tool_response>"
    )
    assert parse(GENERIC, TOOLS, assistant["content"])[0] == call(0, "now", "")[0]


@pytest.mark.parametrize("arguments", ["f()", "[1]", '"x"'])
def test_malformed_arguments_in_history_are_named(arguments: str) -> None:
    call_ = {"id": "1", "type": "function", "function": {"name": "now", "arguments": arguments}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call_]}]
    with pytest.raises(InvalidRequestError) as caught:
        GENERIC.prompt(messages, [NOW])
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


def test_a_custom_tool_tells_its_format() -> None:
    function = DIGITS.as_function()["function"]
    assert function["description"] == f"The input follows this lark grammar:\n{DIGITS.definition}"
    assert function["parameters"]["required"] == ["input"]
    assert "description" not in PYTHON.as_function()["function"]
