"""Grammars made to be expensive end in a refusal: in bounded time, and without the process's end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.source import MAX_GRAMMAR_CHARS, MAX_RULES, json_schema, lark
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import Tool

if TYPE_CHECKING:
    from pennyweight.text.grammar.compiler import GrammarCompiler


def chain(length: int, first: str = "r0") -> str:
    """Rules of which each needs the next; llguidance follows them by recursion."""
    rules = "".join(f"\nr{index}: r{index + 1}" for index in range(length))
    return f'start: {first}{rules}\nr{length}: "b"'


AMBIGUOUS = "start: " + " | ".join("start " * count for count in range(2, 70)) + ' | "a"?'
NESTED_DEFINITIONS = {
    f"d{index}": {"type": "object", "properties": {"a": {"$ref": f"#/$defs/d{index + 1}"}}}
    for index in range(3000)
}
MANY_PATTERNS = [{"type": "string", "pattern": "a?" * 60 + f"b{{{index}}}"} for index in range(50)]


@pytest.mark.parametrize(
    "definition",
    [
        chain(5000),
        chain(MAX_RULES + 1),
        "start: T0\n" + chain(5000).replace("r", "T").removeprefix("staTt: T0"),
        AMBIGUOUS,
        'start: "' + "a" * MAX_GRAMMAR_CHARS + '"',
    ],
    ids=["chain", "rules", "terminals", "ambiguous", "long"],
)
def test_a_definition_of_a_tool(compiler: GrammarCompiler, definition: str) -> None:
    with pytest.raises(InvalidRequestError):
        compiler.compile(lark("start: @input", param="tools", named={"input": definition}))
    tool = Tool(name="t", kind="custom", syntax="lark", definition=definition, param="tools[0].custom.format")
    with pytest.raises(InvalidRequestError):
        GENERIC.mask(compiler, [tool], required=True, parallel=False, control={})


def test_a_chain_that_may_be(compiler: GrammarCompiler) -> None:
    grammar = lark("start: @input", named={"input": chain(MAX_RULES - 2)})
    assert compiler.compile(grammar).mask()


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/d0", "$defs": {**NESTED_DEFINITIONS, "d3000": {"type": "string"}}},
        {"allOf": MANY_PATTERNS},
        {"allOf": [{"properties": {"a": pattern}} for pattern in MANY_PATTERNS]},
        {
            "allOf": [{"$ref": f"#/$defs/p{index}"} for index in range(50)],
            "$defs": {f"p{index}": pattern for index, pattern in enumerate(MANY_PATTERNS)},
        },
    ],
    ids=["references", "patterns", "of a property", "referred to"],
)
def test_a_schema(compiler: GrammarCompiler, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        compiler.compile(json_schema(schema, param="s"))
    mask, dropped = compiler.compile_schema(schema, strict=False, param="s")
    assert mask.mask()
    assert dropped


def test_patterns_of_different_properties_do_not_meet(compiler: GrammarCompiler) -> None:
    properties = [{"properties": {f"k{index}": {"type": "string", "pattern": "^a$"}}} for index in range(30)]
    assert compiler.compile(json_schema({"type": "object", "allOf": properties})).mask()
