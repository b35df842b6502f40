"""The `messages` of a chat body become `Message`s.

What asks nothing of this model (annotations of an earlier answer, keys of other services) is dropped and
reported; what would change the answer (images, audio) is refused by name. Answers are accepted back as they
were given, `null`s included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_history import check_history, read_calls, read_function_call
from pennyweight.answers.conversation import Conversation, Message, Role, TextPart
from pennyweight.answers.fields import ParameterError, Text, missing, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import ToolCall

ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant", "tool")
_REASONING = ("reasoning_content", "reasoning", "thinking")
_READ = {"role", "content", "name", "refusal", "tool_calls", "function_call", "tool_call_id", *_REASONING}
_LATER = "come with a later version; this one takes text"

MESSAGES_SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"type": "string", "enum": [*ROLES, "function"]},
            "content": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "null"},
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
            "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
            "tool_call_id": {"type": ["string", "null"]},
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
    messages = tuple(read_message(item, f"messages[{index}]", ignored) for index, item in enumerate(value))
    functions = {index for index, item in enumerate(value) if item["role"] == "function"}
    check_history(messages, functions)
    return Conversation(messages=messages)


def read_message(value: object, param: str, ignored: set[str]) -> Message:
    """One message by itself: whether its calls are answered is `check_history`'s to see."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    role = _role(value.get("role"), f"{param}.role")
    if value.get("audio") is not None:
        message = f"'{param}.audio' is not supported: audio {_LATER}."
        raise ParameterError(message, param=f"{param}.audio", code="unsupported_value")
    dropped = {key for key in value if key not in _READ and value[key] not in (None, [])}
    if role != "tool" and value.get("name") is not None:
        dropped.add("name")  # kept, but templates show no speakers
    ignored.update(f"messages[].{key}" for key in dropped)
    calls = _calls(value, param, role, ignored)
    refusal = _optional_text(value, "refusal", param)
    content = value.get("content")
    may_be_empty = bool(calls) or (role == "assistant" and refusal is not None)
    parts = () if content is None and may_be_empty else _parts(content, f"{param}.content", role, ignored)
    return Message(
        role=role,
        parts=parts,
        name=_optional_text(value, "name", param),
        tool_calls=calls,
        tool_call_id=_answered_call(value, param, role),
        refusal=refusal,
        reasoning=next((text for key in _REASONING if (text := _optional_text(value, key, param))), None),
    )


def _role(value: object, param: str) -> Role:
    if value is None:
        raise missing(param)
    if not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if value == "function":  # the older name of a tool's result
        return "tool"
    for role in ROLES:
        if value == role:
            return role
    message = f"Invalid value for '{param}': '{value}'; it may be {', '.join(ROLES)}."
    raise ParameterError(message, param=param, code="invalid_value")


def _calls(value: Mapping[str, object], param: str, role: Role, ignored: set[str]) -> tuple[ToolCall, ...]:
    for key in ("tool_calls", "function_call"):
        if role != "assistant" and value.get(key) not in (None, []):
            message = f"'{param}.{key}' is the assistant's; a message of role '{role}' makes no calls."
            raise ParameterError(message, param=f"{param}.{key}", code="invalid_value")
    calls = read_calls(value.get("tool_calls"), f"{param}.tool_calls", ignored)
    if value.get("function_call") is None:
        return calls
    if calls:
        message = f"'{param}.function_call' is the older form of 'tool_calls'; send one of them."
        raise ParameterError(message, param=f"{param}.function_call", code="invalid_parameter_combination")
    return (read_function_call(value["function_call"], f"{param}.function_call", ignored),)


def _answered_call(value: Mapping[str, object], param: str, role: Role) -> str | None:
    answered = _optional_text(value, "tool_call_id", param)
    if role != "tool":
        return None
    if value["role"] == "function":
        name = _optional_text(value, "name", param)
        if not name:
            raise missing(f"{param}.name")
        return f"call_{name}"  # as `read_function_call` names the call
    if not answered:
        raise missing(f"{param}.tool_call_id")
    return answered


def _optional_text(value: Mapping[str, object], key: str, param: str) -> str | None:
    text = value.get(key)
    return None if text is None else Text().read(text, f"{param}.{key}")


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
