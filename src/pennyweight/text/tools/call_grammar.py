"""The grammar of an answer that may or must call tools."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.refusal import SchemaError
from pennyweight.text.grammar.source import lark, schema_node, slashed
from pennyweight.text.tools.tool import INPUT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.grammar.mask import GrammarMask
    from pennyweight.text.grammar.source import GrammarSource
    from pennyweight.text.tools.syntax import CallSyntax
    from pennyweight.text.tools.tool import Concessions, Tool

_ANY_OBJECT = {"type": "object"}


def call_mask(
    compiler: GrammarCompiler,
    syntax: CallSyntax,
    tools: Sequence[Tool],
    *,
    required: bool,
    parallel: bool,
    control: Mapping[str, int],
    concessions: Concessions,
) -> GrammarMask:
    """Free text or calls of `tools`; only calls if `required`.

    `control` are the texts of the syntax that are control tokens of this model. A function that is not strict
    takes any object where its schema cannot be enforced; what is not enforced is added to `concessions`.
    InvalidRequestError names what must be and cannot.
    """
    if not tools:
        raise InvalidRequestError("a tool call is asked for and no tool is given", param="tools")
    for tool in tools:
        if tool.is_raw:  # what it cannot begin is told now, not in the middle of an answer
            compiler.compile(_definition(tool))
    nodes = [_arguments_node(tool, concessions) for tool in tools]
    try:
        return compiler.compile(_source(syntax, tools, nodes, required, parallel, control))
    except InvalidRequestError:
        enforced = [
            _enforced(compiler, tool, node, concessions) for tool, node in zip(tools, nodes, strict=True)
        ]
        if enforced == nodes:
            raise
    return compiler.compile(_source(syntax, tools, enforced, required, parallel, control))


def _source(
    syntax: CallSyntax,
    tools: Sequence[Tool],
    nodes: Sequence[Mapping[str, Any]],
    required: bool,
    parallel: bool,
    control: Mapping[str, int],
) -> GrammarSource:
    rules = _Rules(syntax, control)
    calls = [rules.call(index, tool, nodes[index]) for index, tool in enumerate(tools) if not tool.is_raw]
    raw = [rules.raw_call(index, tool) for index, tool in enumerate(tools) if tool.is_raw]
    body = rules.body(calls, raw, parallel=parallel)
    start = f"{rules.literal(syntax.trigger + syntax.opening)} {body}" if required else rules.optional(body)
    return lark("\n".join([f"start: {start}", *rules.lines]), param="tools", named=rules.named)


def promised(tool: Tool) -> Tool:
    """`tool`; as it was given if nobody asked it to be strict and its closed schema cannot be enforced."""
    if tool.as_given is None:
        return tool
    try:
        schema_node(_object_schema(tool), strict=True, param=tool.param)
    except InvalidRequestError:
        return tool.opened()
    return tool


def _arguments_node(tool: Tool, concessions: Concessions) -> dict[str, Any]:
    """The JSON a call's arguments may be, as far as the checker of schemas knows."""
    if tool.kind == "custom":
        return _input_node(tool)
    schema, dropped = _object_schema(tool), concessions.fields
    try:
        return schema_node(schema, strict=tool.strict, param=tool.param, spacing="spaced", dropped=dropped)
    except InvalidRequestError:
        if tool.strict:
            raise
        return _any_object(tool, concessions)


def _input_node(tool: Tool) -> dict[str, Any]:
    """A custom tool's input, which JSON holds as a string."""
    try:
        return schema_node(_input_schema(tool), param=tool.param, spacing="spaced")
    except SchemaError as error:
        message = (
            f"{tool.param}: the regular expression cannot be enforced, as {error.why}. Write it otherwise."
        )
        raise InvalidRequestError(message, param=tool.param) from error


def _object_schema(tool: Tool) -> Mapping[str, Any]:
    schema = tool.parameters if tool.parameters is not None else {}
    schema = schema if "type" in schema else {**schema, "type": "object"}
    if schema["type"] != "object":
        place = tool.param or "tools"
        why = f"{place}.type is {schema['type']!r}; the arguments of a function are an object"
        raise InvalidRequestError(why, param=f"{place}.type")
    return schema


def _any_object(tool: Tool, concessions: Concessions) -> dict[str, Any]:
    concessions.fields.add(tool.param or "tools")
    return schema_node(_ANY_OBJECT, spacing="spaced")


def _enforced(
    compiler: GrammarCompiler, tool: Tool, node: dict[str, Any], concessions: Concessions
) -> dict[str, Any]:
    """`node` if its grammar compiles on its own; any object for a function that is not strict."""
    try:
        if tool.is_raw:
            compiler.compile(_definition(tool))
        else:
            compiler.compile(lark(f"start: %json {json.dumps(node)}", param=tool.param))
    except InvalidRequestError:
        if tool.as_given is not None:
            concessions.functions.add(tool.name)
        elif tool.kind == "custom" or tool.strict:
            raise
        return _any_object(tool, concessions)
    return node


def _definition(tool: Tool) -> GrammarSource:
    return lark("start: @input", param=tool.param, named={"input": tool.definition})


class _Rules:
    """Lark rules under construction."""

    def __init__(self, syntax: CallSyntax, control: Mapping[str, int]) -> None:
        self._syntax = syntax
        self._control = control
        marks = sorted(control, key=len, reverse=True)
        self._marks = re.compile("(" + "|".join(map(re.escape, marks)) + ")") if marks else None
        self.lines: list[str] = []
        self.named: dict[str, str] = {}

    def literal(self, text: str) -> str:
        """`text` as a sequence of strings and control tokens; a blank if empty."""
        pieces = self._marks.split(text) if self._marks else [text]
        return " ".join(
            f"<[{self._control[piece]}]>" if piece in self._control else _quoted(piece)
            for piece in pieces
            if piece
        )

    def call(self, index: int, tool: Tool, node: Mapping[str, Any]) -> str:
        """The name of a rule for one call whose arguments are `node`."""
        syntax = self._syntax
        head = self.literal(syntax.before_name + syntax.name_text(tool.name) + syntax.after_name)
        tail = self.literal(syntax.after_arguments)
        json_node = json.dumps(node, ensure_ascii=False)
        self.lines.append(f"call_{index}: {head} %json {json_node} {tail}")
        return f"call_{index}"

    def raw_call(self, index: int, tool: Tool) -> str:
        syntax = self._syntax
        head = self.literal(syntax.before_name + syntax.name_text(tool.name) + syntax.before_raw)
        self.named[f"input_{index}"] = tool.definition
        self.lines.append(f"call_{index}: {head} @input_{index}")
        return f"call_{index}"

    def body(self, calls: Sequence[str], raw: Sequence[str], *, parallel: bool) -> str:
        """What follows the opening; a raw call can only be the last."""
        between, closing = self.literal(self._syntax.between), self.literal(self._syntax.closing)
        last = f"({' | '.join([*calls, *raw])})"
        several = parallel and calls and between
        more = f"(({' | '.join(calls)}) {between}){{0,{self._syntax.max_calls - 1}}} " if several else ""
        self.lines.append(f"body: {more}{last} {closing}")
        return "body"

    def optional(self, body: str) -> str:
        """Free text, or text and calls. The trigger begins a call however its text was put together."""
        trigger, opening = self._syntax.trigger, self.literal(self._syntax.opening)
        if self._syntax.place == "start":
            first = (self._syntax.opening + self._syntax.before_name)[0]
            self.lines.append(f"TEXT: /(?:[^{re.escape(first)}](?s:.*))?/")
            return f"TEXT | {opening} {body}"
        self.lines.append("TEXT: /(?s:.*)/")
        self.lines.append(f"trigger[lazy]: /(?s:.*){slashed(re.escape(trigger))}/")
        marked = f" | TEXT? <[{self._control[trigger]}]>" if trigger in self._control else ""
        return f"TEXT | (trigger{marked}) {opening} {body}"


def _input_schema(tool: Tool) -> dict[str, Any]:
    schema = json.loads(json.dumps(INPUT_SCHEMA))
    if tool.syntax == "regex":
        schema["properties"]["input"]["pattern"] = f"^(?:{tool.definition})$"
    return dict(schema)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
