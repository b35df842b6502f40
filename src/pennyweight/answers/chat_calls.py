"""Tool calls as chat completions write them, whole and in pieces, in today's form and in the older one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.answers.chat_response import CallStyle
    from pennyweight.answers.events import ToolCallDelta


class CollectedCalls:
    """The calls of one choice, put together from their pieces."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, delta: ToolCallDelta) -> None:
        """Pieces come in order: the first of a call has its id and name."""
        if delta.index == len(self._calls):
            self._calls.append({"id": delta.id, "type": delta.kind, delta.kind: {"name": delta.name}})
        inner = self._calls[delta.index][delta.kind]
        key = _written(delta)
        inner[key] = inner.get(key, "") + delta.arguments

    def object(self, style: CallStyle) -> dict[str, Any]:
        """The message's field for them; nothing if there are none. The older form has room for one."""
        if not self._calls:
            return {}
        if style == "function_call":
            return {"function_call": self._calls[0]["function"]}
        return {"tool_calls": self._calls}


def call_delta(delta: ToolCallDelta, style: CallStyle) -> dict[str, Any]:
    """A piece of a call as a stream shows it: id, type and name once, then what is written."""
    name = {} if delta.name is None else {"name": delta.name}
    inner = {**name, _written(delta): delta.arguments}
    if style == "function_call":
        return {"function_call": inner}
    head = {} if delta.id is None else {"id": delta.id, "type": delta.kind}
    return {"tool_calls": [{"index": delta.index, **head, delta.kind: inner}]}


def _written(delta: ToolCallDelta) -> str:
    return "arguments" if delta.kind == "function" else "input"
