"""A function's schema as OpenAI's Responses interface makes it strict where nobody said whether it is.

Every object closed, every property required
(https://developers.openai.com/api/docs/guides/function-calling#strict-mode). Chat completions leave such a
schema as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pennyweight.answers.conversation import Conversation
    from pennyweight.text.tools.tool import Concessions

_MAX_DEPTH = 64
_SCHEMAS_BY_NAME = ("properties", "$defs", "definitions")
# With these, closing objects would change what the schema says and not only how much of it is open.
_OPEN = frozenset(
    {
        "allOf",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "else",
        "if",
        "not",
        "oneOf",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedProperties",
    }
)


def closed_parameters(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """`parameters` closed; None if they cannot be: an object of any keys, or schemas that are combined."""
    try:
        return _closed_object({"type": "object", "properties": {}, **parameters}, 0)
    except _OpenError:
        return None


def promised_tools(conversation: Conversation, concessions: Concessions) -> Conversation:
    """`conversation` with the schemas that hold; functions that cannot be strict are added to `concessions`.

    A schema nobody asked to be strict may close and yet have keywords that nothing enforces. Reading large
    ones takes milliseconds: not for the event loop.
    """
    # Not with the module: most starts of the program ask for no grammar.
    from pennyweight.text.tools.call_grammar import promised

    tools = tuple(promised(tool) for tool in conversation.tools)
    pairs = zip(conversation.tools, tools, strict=True)
    concessions.functions.update(tool.name for tool, now in pairs if now is not tool)
    return replace(conversation, tools=tools)


def opened_tools(conversation: Conversation, names: Collection[str]) -> Conversation:
    """`conversation` with the functions called `names` as they were given."""
    tools = tuple(tool.opened() if tool.name in names else tool for tool in conversation.tools)
    return replace(conversation, tools=tools)


class _OpenError(Exception):
    """Somewhere an object must stay open."""


def _closed(schema: Any, depth: int) -> Any:
    return _closed_object(schema, depth) if isinstance(schema, dict) else schema


def _closed_object(schema: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH or not _OPEN.isdisjoint(schema):
        raise _OpenError
    closed = dict(schema)
    for key in _SCHEMAS_BY_NAME:
        if isinstance(schema.get(key), dict):
            closed[key] = {name: _closed(item, depth + 1) for name, item in schema[key].items()}
    if isinstance(schema.get("anyOf"), list):
        closed["anyOf"] = [_closed(item, depth + 1) for item in schema["anyOf"]]
    if "items" in schema:
        closed["items"] = _closed(schema["items"], depth + 1)
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "properties" in schema:
        properties = schema.get("properties")
        if not isinstance(properties, dict) or schema.get("additionalProperties", False) is not False:
            raise _OpenError
        closed |= {"additionalProperties": False, "required": list(properties)}
    return closed
