"""The `input` of a Responses body becomes messages.

Instructions and all messages of `system` and `developer` are joined into one system message in front, the
only place where every model's template has room for one. Calls beside one another become one turn of the
assistant. A history that is not whole is a 400, as OpenAI answers it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.answers.conversation import Message, TextPart, ToolCall
from pennyweight.answers.fields import ParameterError, Text, drop_unknown, missing, wrong_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LATER = "come with a later version; this one takes text"
_PART_TYPES = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
# What our own answers carry beside their text is no news when it comes back.
_REPLAYED = frozenset({"id", "status", "annotations", "logprobs"})


def read_input(
    value: object,
    *,
    instructions: str | None,
    ignored: set[str],
    earlier: Iterable[Mapping[str, object]] = (),
) -> tuple[Message, ...]:
    """Raises ParameterError naming the item; adds to `ignored` what was dropped.

    `earlier` are items that come before the input: read long ago, so nothing of them is news.
    """
    history = _History(set())
    for item in earlier:
        history.read(item, "input")
    history.ignored = ignored
    if isinstance(value, str):
        history.say(Message(role="user", parts=(TextPart(Text().read(value, "input")),)))
    elif not isinstance(value, list | tuple):
        raise wrong_type("input", "a string or an array of items", value)
    else:
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise wrong_type(f"input[{index}]", "an object", item)
            history.read(item, f"input[{index}]")
    return history.messages(instructions)


def check_items(items: Sequence[Mapping[str, object]], *, ignored: set[str]) -> None:
    """Raise ParameterError for the first of `items` that no input could have, each looked at alone.

    Whether calls and outputs go together is known when they are answered.
    """
    for index, item in enumerate(items):
        dropped: set[str] = set()
        history = _History(dropped)
        if item.get("type") in _OUTPUTS and isinstance(item.get("call_id"), str):
            history.expect(str(item["call_id"]))
        history.read(item, f"items[{index}]")
        ignored.update(name.replace("input[", "items[", 1) for name in dropped)


class _History:
    """Items in order become turns."""

    def __init__(self, ignored: set[str]) -> None:
        self.ignored = ignored
        self._system: list[str] = []
        self._turns: list[Message] = []
        self._waiting: dict[str, str] = {}  # calls without an output yet, and where they are

    def read(self, item: Mapping[str, object], param: str) -> None:
        kind = item.get("type", "message" if "role" in item else None)
        if kind is None:
            raise missing(f"{param}.type")
        if kind == "message":
            self._message(item, param)
        elif kind in _CALLS:
            self._call(item, str(kind), param)
        elif kind in _OUTPUTS:
            self._output(item, str(kind), param)
        elif kind == "reasoning":
            self.ignored.add("input[reasoning]")
        elif kind == "file_search_call":
            pass  # what it found is searched for anew, where the tool is still there
        else:
            raise _unsupported_item(kind, f"{param}.type")

    def expect(self, call_id: str) -> None:
        """An output of this call may come."""
        self._waiting[call_id] = "items"

    def say(self, message: Message) -> None:
        """A turn of the user or the assistant: calls before it must have been answered."""
        self._require_outputs()
        self._turns.append(message)

    def messages(self, instructions: str | None) -> tuple[Message, ...]:
        self._require_outputs()
        if not self._turns:
            message = "'input' has nothing to answer; send at least one message of the user."
            raise ParameterError(message, param="input", code="empty_array")
        leading = [instructions, *self._system] if instructions else self._system
        if not leading:
            return tuple(self._turns)
        system = Message(role="system", parts=(TextPart("\n\n".join(leading)),))
        return (system, *self._turns)

    def _message(self, item: Mapping[str, object], param: str) -> None:
        role = item.get("role")
        if role is None:
            raise missing(f"{param}.role")
        drop_unknown(item, {"type", "role", "content", *_REPLAYED}, "input[]", self.ignored)
        parts = self._parts(item.get("content"), f"{param}.content", by_assistant=role == "assistant")
        if role in ("system", "developer"):
            self._system.append("".join(part.text for part in parts))
        elif role == "user":
            self.say(Message(role="user", parts=parts))
        elif role == "assistant" and self._waiting and self._turns[-1].role == "assistant":
            # Text beside calls of the same answer.
            last = self._turns[-1]
            self._turns[-1] = replace(last, parts=(*last.parts, *parts))
        elif role == "assistant":
            self.say(Message(role="assistant", parts=parts))
        else:
            message = f"'{param}.role' is {role!r:.80}; it may be system, developer, user or assistant."
            raise ParameterError(message, param=f"{param}.role", code="invalid_value")

    def _call(self, item: Mapping[str, object], kind: str, param: str) -> None:
        written = _CALLS[kind]
        drop_unknown(item, {"type", "call_id", "name", written, *_REPLAYED}, "input[]", self.ignored)
        call = ToolCall(
            id=_text(item, "call_id", param),
            name=_text(item, "name", param),
            arguments=_text(item, written, param, empty=True),
            kind="function" if kind == "function_call" else "custom",
        )
        if call.id in self._waiting:
            message = f"'{param}.call_id' is '{call.id}', which another call before it has too."
            raise ParameterError(message, param=f"{param}.call_id", code="invalid_value")
        if self._turns and self._turns[-1].role == "assistant":
            last = self._turns[-1]
            self._turns[-1] = replace(last, tool_calls=(*last.tool_calls, call))
        else:
            self.say(Message(role="assistant", tool_calls=(call,)))
        self._waiting[call.id] = param

    def _output(self, item: Mapping[str, object], kind: str, param: str) -> None:
        drop_unknown(item, {"type", "call_id", "output", *_REPLAYED}, "input[]", self.ignored)
        call_id = _text(item, "call_id", param)
        if self._waiting.pop(call_id, None) is None:
            message = (
                f"'{param}.call_id' is '{call_id}': a {kind} must come after the call with this 'call_id', "
                "before the next message, once."
            )
            raise ParameterError(message, param=f"{param}.call_id", code="invalid_value")
        parts = self._parts(item.get("output"), f"{param}.output", by_assistant=False)
        self._turns.append(Message(role="tool", parts=parts, tool_call_id=call_id))

    def _require_outputs(self) -> None:
        if not self._waiting:
            return
        call_id, param = next(iter(self._waiting.items()))
        where = "begin 'input' with its output" if param == "input" else f"send it right after '{param}'"
        message = f"No tool output found for the call '{call_id}'; {where}."
        raise ParameterError(message, param=param, code="invalid_value")

    def _parts(self, content: object, param: str, *, by_assistant: bool) -> tuple[TextPart, ...]:
        if content is None:
            raise missing(param)
        if isinstance(content, str):
            return (TextPart(Text().read(content, param)),)
        if not isinstance(content, list | tuple):
            raise wrong_type(param, "a string or an array of parts", content)
        return tuple(
            self._part(part, f"{param}[{index}]", by_assistant=by_assistant)
            for index, part in enumerate(content)
        )

    def _part(self, value: object, param: str, *, by_assistant: bool) -> TextPart:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        kind = value.get("type")
        key = _PART_TYPES.get(kind) if isinstance(kind, str) else None
        if key is None or (kind != "input_text" and not by_assistant):
            if kind is None:
                raise missing(f"{param}.type")
            message = f"'{param}.type' is {kind!r:.80}: other parts than text {_LATER}."
            raise ParameterError(message, param=f"{param}.type", code="unsupported_value")
        drop_unknown(value, {"type", key, *_REPLAYED}, "input[].content[]", self.ignored)
        return TextPart(_text(value, key, param, empty=True))


def _text(value: Mapping[str, object], key: str, param: str, *, empty: bool = False) -> str:
    if value.get(key) is None:
        raise missing(f"{param}.{key}")
    return Text(empty=empty).read(value[key], f"{param}.{key}")


def _unsupported_item(kind: object, param: str) -> ParameterError:
    if kind == "item_reference":
        message = f"'{param}' is 'item_reference': references are not looked up here; send the item itself."
    else:
        message = (
            f"'{param}' is {kind!r:.80}; it may be message, reasoning, {', '.join(_CALLS)} or "
            f"{', '.join(_OUTPUTS)}."
        )
    return ParameterError(message, param=param, code="unsupported_value")
