"""The `messages` of a chat body become a `Conversation`.

What asks nothing of this model (`name`, annotations of an earlier answer, keys of other services) is
dropped and reported; what would change the answer (images, audio, tool calls) is refused by name.
"""

from __future__ import annotations

from typing import Any

from pennyweight.answers.conversation import Conversation, Message, Role, TextPart
from pennyweight.answers.fields import ParameterError, Text, wrong_type

ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")
_REFUSED = {
    "tool_calls": "calls of tools",
    "function_call": "calls of functions",
    "tool_call_id": "results of tools",
    "audio": "audio",
}
_LATER = "come with a later version; this one takes text"

MESSAGES_SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {
            "role": {"type": "string", "enum": list(ROLES)},
            "content": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["type", "text"],
                            "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                        },
                    },
                ]
            },
        },
    },
}


def read_messages(value: object, *, ignored: set[str]) -> Conversation:
    """Raises ParameterError; adds to `ignored` the path of every key that was dropped."""
    if not isinstance(value, list | tuple):
        raise wrong_type("messages", "an array of objects", value)
    if not value:
        message = "'messages' is empty; send at least one message."
        raise ParameterError(message, param="messages", code="empty_array")
    messages = [_message(item, f"messages[{index}]", ignored) for index, item in enumerate(value)]
    return Conversation(messages=tuple(messages))


def _message(value: object, param: str, ignored: set[str]) -> Message:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    role = _role(value.get("role"), f"{param}.role")
    for key, item in value.items():
        # Replays of earlier answers carry null or empty lists here.
        if key in _REFUSED and item not in (None, []):
            message = f"'{param}.{key}' is not supported: {_REFUSED[key]} {_LATER}."
            raise ParameterError(message, param=f"{param}.{key}", code="unsupported_value")
        if key not in _REFUSED and key not in ("role", "content", "refusal") and item not in (None, []):
            ignored.add(f"messages[].{key}")
    content = value.get("content")
    if content is None and role == "assistant" and value.get("refusal") is not None:
        # An earlier answer that was a refusal: its text is what the model said.
        return Message(role=role, parts=(_text(value["refusal"], f"{param}.refusal"),))
    return Message(role=role, parts=_parts(content, f"{param}.content", role, ignored))


def _role(value: object, param: str) -> Role:
    if value is None:
        raise ParameterError(
            f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
        )
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if value in ("tool", "function"):
        message = f"'{param}' is '{value}': results of tools {_LATER}."
        raise ParameterError(message, param=param, code="unsupported_value")
    if value not in ROLES:
        message = f"Invalid value for '{param}': '{value}'; it may be {', '.join(ROLES)}."
        raise ParameterError(message, param=param, code="invalid_value")
    return value


def _parts(content: object, param: str, role: Role, ignored: set[str]) -> tuple[TextPart, ...]:
    if isinstance(content, str):
        return (_text(content, param),)
    if isinstance(content, list | tuple):
        if not content:
            raise ParameterError(f"'{param}' is an empty array.", param=param, code="empty_array")
        return tuple(_part(item, f"{param}[{i}]", role, ignored) for i, item in enumerate(content))
    if content is None:
        message = f"'{param}' is missing: every message needs content."
        raise ParameterError(message, param=param, code="missing_required_parameter")
    raise wrong_type(param, "a string or an array of parts", content)


def _part(value: object, param: str, role: Role, ignored: set[str]) -> TextPart:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    kind = value.get("type")
    if not (kind == "text" or (kind == "refusal" and role == "assistant")):
        if not isinstance(kind, str):
            raise wrong_type(f"{param}.type", "a string", kind)
        message = f"'{param}.type' is '{kind}': other parts than text {_LATER}."
        raise ParameterError(message, param=f"{param}.type", code="unsupported_value")
    ignored.update(
        f"messages[].content[].{key}" for key in value if key not in ("type", kind) and value[key] is not None
    )
    return _text(value.get(kind), f"{param}.{kind}")


def _text(value: object, param: str) -> TextPart:
    return TextPart(Text().read(value, param))
