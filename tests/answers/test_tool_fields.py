"""Tools and the choice among them: read, skipped and named, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.conversation import Tool, ToolChoice
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.tool_choice import read_function_call_choice, read_tool_choice
from pennyweight.answers.tool_fields import Toolbox, read_functions, read_tools

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FUNCTION: dict[str, Any] = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
}
TOOLS = [FUNCTION, {"type": "custom", "custom": {"name": "g"}}, {"type": "web_search"}]


def tools(value: object) -> tuple[Toolbox, set[str]]:
    ignored: set[str] = set()
    return read_tools(value, ignored=ignored), ignored


def choose(value: object, among: object = TOOLS) -> ToolChoice:
    return read_tool_choice(value, tools(among)[0])


def test_a_function() -> None:
    box, ignored = tools([FUNCTION])
    assert box.tools == (
        Tool(
            name="f",
            description="d",
            parameters=SCHEMA,
            strict=True,
            param="tools[0].function.parameters",
        ),
    )
    assert not ignored


@pytest.mark.parametrize("syntax", ["lark", "regex"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_custom_tool(syntax: Any, nested: bool) -> None:
    grammar = {"syntax": syntax, "definition": "x"}
    form = {"type": "grammar", **({"grammar": grammar} if nested else grammar)}
    box, _ = tools([{"type": "custom", "custom": {"name": "g", "format": form}}])
    place = "tools[0].custom.format"
    assert box.tools == (Tool(name="g", kind="custom", syntax=syntax, definition="x", param=place),)
    box, _ = tools([{"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}}])
    assert box.tools == (Tool(name="g", kind="custom", param=place),)


def test_tools_that_openai_runs_itself_are_skipped_and_named() -> None:
    box, ignored = tools(TOOLS)
    assert [tool.name for tool in box.tools] == ["f", "g"]
    assert ignored == {"tools[web_search]"}


@pytest.mark.parametrize(
    ("value", "mode", "names"),
    [
        (None, "auto", None),
        ("auto", "auto", None),
        ("none", "none", None),
        ("required", "required", None),
        ({"type": "function", "function": {"name": "f"}}, "required", {"f"}),
        ({"type": "function", "name": "f"}, "required", {"f"}),
        ({"type": "custom", "custom": {"name": "g"}}, "required", {"g"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            "auto",
            {"f"},
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [FUNCTION, TOOLS[1], {"type": "web_search"}],
            },
            "required",
            {"f", "g"},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOLS[2]]}},
            "none",
            None,
        ),
    ],
)
def test_a_choice(value: object, mode: Any, names: set[str] | None) -> None:
    once = isinstance(value, dict) and value["type"] != "allowed_tools"
    expected = ToolChoice(mode=mode, names=None if names is None else frozenset(names), once=once)
    assert choose(value) == expected


def test_the_older_choice_is_named_by_its_own_field() -> None:
    box = read_functions([FUNCTION["function"]], ignored=set())
    with pytest.raises(ParameterError) as caught:
        read_function_call_choice({"name": "g"}, box)
    assert caught.value.param == "function_call.name"
    assert read_function_call_choice({"name": "f"}, box).names == {"f"}


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("always", "tool_choice"),
        (1, "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": {}}, "tool_choice.type"),
        ({"type": "function", "function": {"name": {}}}, "tool_choice.function.name"),
        ({"type": "allowed_tools", "mode": {}, "tools": []}, "tool_choice.mode"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": {}}]}, "tool_choice.tools[0].name"),
        ({"type": "web_search"}, "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "function", "function": {"name": "h"}}, "tool_choice.function.name"),
        ({"type": "allowed_tools"}, "tool_choice.mode"),
        ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": [1]}, "tool_choice.tools[0]"),
    ],
)
def test_a_choice_that_cannot_be_made(value: object, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        choose(value)
    assert caught.value.param == param


@pytest.mark.parametrize("among", [[], [{"type": "web_search"}]])
def test_a_call_cannot_be_demanded_without_tools(among: list[object]) -> None:
    with pytest.raises(ParameterError, match="demands a call") as caught:
        choose("required", among)
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("f", "tools"),
        ([1], "tools[0]"),
        ([{}], "tools[0].type"),
        ([{"type": "hammer"}], "tools[0].type"),
        ([{"type": {}}], "tools[0].type"),
        ([{"type": []}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": {}}], "tools[0].function.name"),
        ([{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
        ([{"type": "function", "function": {"name": "a", "parameters": 1}}], "tools[0].function.parameters"),
        ([{"type": "function", "function": {"name": "a", "strict": 1}}], "tools[0].function.strict"),
        ([FUNCTION, FUNCTION], "tools"),
        ([FUNCTION] * 129, "tools"),
        ([{"type": "custom", "custom": {"name": "g", "format": {}}}], "tools[0].custom.format.type"),
        (
            [{"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {}}}}],
            "tools[0].custom.format.grammar.syntax",
        ),
    ],
)
def test_tools_that_make_no_sense(value: object, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        tools(value)
    assert caught.value.param == param
    assert param in caught.value.message
