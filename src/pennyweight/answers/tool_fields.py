"""`tools`, and their older form `functions`, become `Tool`s.

Tools that OpenAI runs on its own machines are skipped and reported: an agent that offers a search beside its
functions works without it. They are refused only where the choice demands one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from pennyweight.answers.conversation import Tool
from pennyweight.answers.fields import Flag, ParameterError, Text, drop_unknown, missing, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TOOLS = 128
HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
PARALLEL_DOC = (
    "`false`: at most one call in an answer. By default as many as the model makes, but one where it was "
    "never taught tools."
)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

TOOLS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "maxItems": MAX_TOOLS,
    "items": {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"type": "string"},
            "function": {"type": "object", "required": ["name"]},
            "custom": {"type": "object", "required": ["name"]},
        },
    },
}
FUNCTIONS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "object", "required": ["name"]}}
CHOICE_SCHEMA: dict[str, Any] = {"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}]}
FUNCTION_CALL_SCHEMA: dict[str, Any] = {"anyOf": [{"enum": ["none", "auto"]}, {"type": "object"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """The tools of a request that run here, and the types of those that do not."""

    tools: tuple[Tool, ...] = ()
    hosted: frozenset[str] = frozenset()


def read_tools(value: object, *, ignored: set[str]) -> Toolbox:
    """Chat completions' `tools`: each under a key of its type. Raises ParameterError naming the place."""
    tools: list[Tool] = []
    hosted = set()
    for index, item in enumerate(_objects(value, "tools")):
        param = f"tools[{index}]"
        kind = item.get("type")
        if is_hosted(kind):
            hosted.add(str(kind))
            continue
        if kind not in ("function", "custom"):
            raise unknown_tool_type(kind, f"{param}.type")
        drop_unknown(item, {"type", kind}, "tools[]", ignored)
        inner = item.get(kind)
        if inner is None:
            raise missing(f"{param}.{kind}")
        if not isinstance(inner, dict):
            raise wrong_type(f"{param}.{kind}", "an object", inner)
        read = read_function if kind == "function" else read_custom
        tools.append(read(inner, f"{param}.{kind}", ignored, path=f"tools[].{kind}"))
    return toolbox(tools, hosted, ignored=ignored)


def read_functions(value: object, *, ignored: set[str]) -> Toolbox:
    """The older `functions`."""
    items = _objects(value, "functions")
    tools = [
        read_function(item, f"functions[{index}]", ignored, path="functions[]")
        for index, item in enumerate(items)
    ]
    return toolbox(tools, set(), ignored=ignored, param="functions")


def toolbox(tools: Sequence[Tool], hosted: set[str], *, ignored: set[str], param: str = "tools") -> Toolbox:
    """Check what tools say together."""
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            message = f"'{param}' has two tools named '{name}'; a call could mean either."
            raise ParameterError(message, param=param, code="invalid_value")
    ignored.update(f"{param}[{kind}]" for kind in hosted)
    return Toolbox(tools=tuple(tools), hosted=frozenset(hosted))


def read_function(value: Mapping[str, object], param: str, ignored: set[str], *, path: str) -> Tool:
    """A function as chat completions nest it and as the Responses interface lays it flat."""
    drop_unknown(value, {"type", "name", "description", "parameters", "strict"}, path, ignored)
    parameters = value.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise wrong_type(f"{param}.parameters", "an object", parameters)
    strict = value.get("strict")
    return Tool(
        name=_name(value.get("name"), f"{param}.name"),
        description=_description(value, param),
        parameters=parameters,
        strict=False if strict is None else Flag().read(strict, f"{param}.strict"),
        param=f"{param}.parameters",
    )


def read_custom(value: Mapping[str, object], param: str, ignored: set[str], *, path: str) -> Tool:
    """A tool that takes text. The Responses interface lays its grammar flat in `format`."""
    drop_unknown(value, {"type", "name", "description", "format"}, path, ignored)
    grammar = _grammar(value.get("format"), f"{param}.format", ignored, path=f"{path}.format")
    return Tool(
        name=_name(value.get("name"), f"{param}.name"),
        kind="custom",
        description=_description(value, param),
        syntax="text" if grammar is None else grammar.syntax,
        definition="" if grammar is None else grammar.definition,
        param=f"{param}.format",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grammar:
    syntax: Literal["lark", "regex"]
    definition: str


def _grammar(value: object, param: str, ignored: set[str], *, path: str) -> _Grammar | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    if value.get("type") == "text":
        drop_unknown(value, {"type"}, path, ignored)
        return None
    if value.get("type") != "grammar":
        message = f"'{param}.type' is {value.get('type')!r}; it may be 'text' or 'grammar'."
        raise ParameterError(message, param=f"{param}.type", code="invalid_value")
    drop_unknown(value, {"type", "grammar", "syntax", "definition"}, path, ignored)
    if value.get("grammar") is not None:
        value, param = value["grammar"], f"{param}.grammar"
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
    syntax = value.get("syntax")
    if syntax not in ("lark", "regex"):
        message = f"'{param}.syntax' is {syntax!r}; it may be 'lark' or 'regex'."
        raise ParameterError(message, param=f"{param}.syntax", code="invalid_value")
    definition = value.get("definition")
    if definition is None:
        raise missing(f"{param}.definition")
    return _Grammar(
        syntax="lark" if syntax == "lark" else "regex",
        definition=Text(empty=False).read(definition, f"{param}.definition"),
    )


def is_hosted(kind: object) -> bool:
    """Whether a tool's `type`, which may be anything, is of those that OpenAI runs itself."""
    return isinstance(kind, str) and kind in HOSTED


def unknown_tool_type(kind: object, param: str) -> ParameterError:
    """The error for a tool of a type nobody knows."""
    if kind is None:
        return missing(param)
    message = f"'{param}' is {kind!r}; tools that run here are of type 'function' or 'custom'."
    return ParameterError(message, param=param, code="invalid_value")


def _objects(value: object, param: str) -> list[dict[str, object]]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise wrong_type(param, "an array of objects", value)
    if len(value) > MAX_TOOLS:
        message = f"'{param}' has {len(value)} elements; it may have {MAX_TOOLS}."
        raise ParameterError(message, param=param, code="array_above_max_length")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong_type(f"{param}[{index}]", "an object", item)
    return cast("list[dict[str, object]]", list(value))


def _name(value: object, param: str) -> str:
    if value is None:
        raise missing(param)
    name = Text(empty=False).read(value, param)
    if not _NAME.fullmatch(name):
        message = f"'{param}' is '{name:.80}'; a name has up to 64 letters, digits, '_' and '-'."
        raise ParameterError(message, param=param, code="invalid_value")
    return name


def _description(value: Mapping[str, object], param: str) -> str | None:
    text = value.get("description")
    return None if text is None else Text().read(text, f"{param}.description")
