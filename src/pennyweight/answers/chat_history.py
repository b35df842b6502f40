"""Tool calls in a conversation's past: read, and checked to be answered, as OpenAI checks them.

A history that is not whole would make a template write nonsense, or fail; it is a 400 that says what is
missing (https://platform.openai.com/docs/guides/function-calling).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.conversation import ToolCall
from pennyweight.answers.fields import ParameterError, Text, drop_unknown, missing, wrong_type

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pennyweight.answers.conversation import Message


def read_calls(value: object, param: str, ignored: set[str]) -> tuple[ToolCall, ...]:
    """The `tool_calls` of an assistant's message; `index`, which streams add, is let be."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise wrong_type(param, "an array of objects", value)
    return tuple(_call(item, f"{param}[{index}]", ignored) for index, item in enumerate(value))


def read_function_call(value: object, param: str, ignored: set[str]) -> ToolCall:
    """The older form of a single call, which has no id."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    drop_unknown(value, {"name", "arguments"}, "messages[].function_call", ignored)
    name = _text(value, "name", param)
    return ToolCall(id=f"call_{name}", name=name, arguments=_text(value, "arguments", param, empty=True))


def _call(value: object, param: str, ignored: set[str]) -> ToolCall:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    kind = value.get("type") or "function"
    if kind not in ("function", "custom"):
        message = f"'{param}.type' is {kind!r}; a call is of type 'function' or 'custom'."
        raise ParameterError(message, param=f"{param}.type", code="invalid_value")
    drop_unknown(value, {"id", "type", "index", kind}, "messages[].tool_calls[]", ignored)
    inner, place = value.get(kind), f"{param}.{kind}"
    if inner is None:
        raise missing(place)
    if not isinstance(inner, dict):
        raise wrong_type(place, "an object", inner)
    written = "arguments" if kind == "function" else "input"
    drop_unknown(inner, {"name", written}, f"messages[].tool_calls[].{kind}", ignored)
    return ToolCall(
        id=_text(value, "id", param),
        name=_text(inner, "name", place),
        arguments=_text(inner, written, place, empty=True),
        kind="function" if kind == "function" else "custom",
    )


def _text(value: dict[str, object], key: str, param: str, *, empty: bool = False) -> str:
    if value.get(key) is None:
        raise missing(f"{param}.{key}")
    return Text(empty=empty).read(value[key], f"{param}.{key}")


def check_history(messages: Sequence[Message], functions: Collection[int] = ()) -> None:
    """Raise ParameterError unless every call is answered at once, and every result answers a call.

    `functions`: which messages came in the older form, of role `function`.
    """
    waiting: dict[str, int] = {}
    for index, message in enumerate(messages):
        if message.role != "tool":
            _require_answered(waiting)
            waiting = {call.id: index for call in message.tool_calls}
        elif message.tool_call_id is None or waiting.pop(message.tool_call_id, None) is None:
            raise _answers_nothing(message, index, older=index in functions)
    _require_answered(waiting)


def _answers_nothing(message: Message, index: int, *, older: bool) -> ParameterError:
    param = f"messages[{index}].{'name' if older else 'tool_call_id'}"
    if older:
        text = (
            f"'{param}' is {message.name!r}: a message of role 'function' must answer the 'function_call' "
            "of that name in the assistant's message before it."
        )
    else:
        text = (
            f"'{param}' is {message.tool_call_id!r}: a message of role 'tool' must answer one of the "
            "'tool_calls' of the assistant's message before it, each once."
        )
    return ParameterError(text, param=param, code="invalid_value")


def _require_answered(waiting: dict[str, int]) -> None:
    if not waiting:
        return
    param = f"messages[{next(iter(waiting.values()))}].tool_calls"
    text = (
        f"'{param}' must be followed by messages of role 'tool' that answer each 'tool_call_id'; "
        f"without an answer: {', '.join(waiting)}."
    )
    raise ParameterError(text, param=param, code="invalid_value")
