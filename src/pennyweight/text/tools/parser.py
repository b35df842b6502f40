"""An answer's text becomes text and calls while it arrives.

Written for text that follows the grammar, and safe for any other: what does not look like a call is text, a
call that breaks off keeps the arguments it had. Blanks between the parts of a call are free, as models that
were taught a dialect write them as they like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pennyweight.text.tools.json_text import InputText, ValueEnd
from pennyweight.text.tools.tool import ArgumentsDelta, CallStart, TextDelta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pennyweight.text.tools.syntax import CallSyntax
    from pennyweight.text.tools.tool import Tool, ToolEvent

MAX_HEAD_CHARS = 512
"""From the opening to the arguments; what is longer is text."""

_PUNCTUATION = frozenset("{}[],:")
_NAME = r'(?P<name>[^"\\\[\]{}\s]+?)'


class CallParser:
    """One answer. `push` takes its text in any pieces; `flush` ends it."""

    def __init__(self, syntax: CallSyntax, tools: Sequence[Tool]) -> None:
        self._syntax = syntax
        self._tools = {tool.name: tool for tool in tools}
        self._trigger = syntax.trigger or (syntax.opening + syntax.before_name)[0]
        self._patterns = _Patterns(syntax)
        self._state: Callable[[list[ToolEvent]], bool] = self._text
        self._buffer = ""
        self._calls = 0
        self._blanks = ""
        self._in_text = False  # text other than blanks has been shown since the answer or the last call began
        self._value = ValueEnd()
        self._input: InputText | None = None

    def push(self, text: str) -> list[ToolEvent]:
        """What is certain now."""
        self._buffer += text
        events: list[ToolEvent] = []
        while self._state(events):
            pass
        return events

    def flush(self) -> list[ToolEvent]:
        """What was held back: nothing more comes."""
        events: list[ToolEvent] = []
        held, self._buffer = self._buffer, ""
        if self._state == self._raw:
            self._input_delta(events, self._without_closing(held))
        elif self._state == self._head or (self._state == self._text and (held.strip() or not self._calls)):
            _add_text(events, self._blanks + held)
        return events

    def break_off(self) -> list[ToolEvent]:
        """As `flush`, of an answer that a limit cut off: the beginning of a call is not shown as text."""
        begins = self._state in (self._head, self._text) and self._begins_call(self._buffer)
        # Behind text a single character is more likely to be text itself.
        if begins and (self._state == self._head or not self._in_text or len(self._buffer) > 1):
            self._buffer = self._blanks = ""
            return []
        return self.flush()

    def _begins_call(self, text: str) -> bool:
        """Whether it could go on as one of the tools' calls, blanks aside."""
        syntax, given = self._syntax, _squeezed(text)
        heads = (
            _squeezed(syntax.trigger + syntax.opening + syntax.before_name + name + after)
            for name in self._tools
            for after in (syntax.after_name, syntax.before_raw)
        )
        return bool(given) and any(head.startswith(given) for head in heads)

    # A state takes what it can from the buffer, adds events, and says whether another may go on at once.

    def _text(self, events: list[ToolEvent]) -> bool:
        if not self._in_text:
            if self._calls:
                self._buffer = self._buffer.lstrip()
            if not self._buffer.strip():
                return False
        start = self._trigger_start()
        before = self._buffer[:start]
        is_call = self._buffer.startswith(self._trigger, start)
        if self._in_text or before.strip():
            _add_text(events, before)
            self._in_text = True
        elif is_call:
            self._blanks = before  # no text of the answer, unless what follows is no call after all
        else:
            return False
        self._buffer = self._buffer[start:]
        if not is_call:
            return False
        self._state = self._head
        return True

    def _trigger_start(self) -> int:
        """Where the opening begins, or may begin; the buffer's length if nowhere."""
        text, trigger = self._buffer, self._trigger
        if self._syntax.place == "start":
            first = len(text) - len(text.lstrip())
            possible = text.startswith(trigger, first) and not self._in_text and not self._calls
            return first if possible else len(text)
        found = text.find(trigger)
        if found >= 0:
            return found
        for size in range(min(len(trigger) - 1, len(text)), 0, -1):
            if text.endswith(trigger[:size]):
                return len(text) - size
        return len(text)

    def _head(self, events: list[ToolEvent]) -> bool:
        match = self._patterns.first.match(self._buffer)
        if match is not None:
            return self._begin_call(match, events)
        if len(self._buffer) <= MAX_HEAD_CHARS:
            return False
        return self._give_up(events)

    def _begin_call(self, match: re.Match[str], events: list[ToolEvent]) -> bool:
        tool = self._tools.get(match["name"])
        if tool is None:
            return self._give_up(events)
        events.append(CallStart(self._calls, tool.name, tool.kind))
        self._calls += 1
        self._blanks = ""
        self._buffer = self._buffer[match.end() :]
        self._value = ValueEnd()
        self._input = InputText() if tool.kind == "custom" else None
        is_raw = match["raw"] is not None or (
            tool.is_raw and self._syntax.before_raw == self._syntax.after_name
        )
        self._state = self._raw if is_raw else self._arguments
        return True

    def _give_up(self, events: list[ToolEvent]) -> bool:
        """The opening was no call after all."""
        size = len(self._trigger)
        _add_text(events, self._blanks + self._buffer[:size])
        self._buffer, self._blanks = self._buffer[size:], ""
        self._in_text, self._state = True, self._text
        return True

    def _arguments(self, events: list[ToolEvent]) -> bool:
        if not self._value.begun:
            self._buffer = self._buffer.lstrip()
        if not self._buffer:
            return False
        end = self._value.find(self._buffer)
        text = self._buffer if end is None else self._buffer[:end]
        self._buffer = self._buffer[len(text) :]
        self._input_delta(events, text if self._input is None else self._input.push(text))
        if end is None:
            return False
        self._state = self._tail
        return True

    def _tail(self, events: list[ToolEvent]) -> bool:
        """Behind the arguments: another call, or the end of all calls."""
        following = self._patterns.following.match(self._buffer) if self._syntax.between else None
        if following is not None and following["name"] in self._tools:
            return self._begin_call(following, events)
        last = self._patterns.last.match(self._buffer)
        if last is not None and not self._may_continue(self._buffer[last.end() :]):
            self._buffer = self._buffer[last.end() :]
        elif len(self._buffer) <= MAX_HEAD_CHARS:
            return False
        self._in_text, self._state = False, self._text
        return True

    def _may_continue(self, rest: str) -> bool:
        """Where nothing closes the calls, what follows decides whether there is another."""
        between, rest = self._syntax.between.strip(), rest.lstrip()
        if self._syntax.closing.strip() or not between:
            return False
        return rest.startswith(between) or between.startswith(rest)

    def _raw(self, events: list[ToolEvent]) -> bool:
        """All but what may be the closing, which ends the answer."""
        keep = len(self._syntax.closing)
        text = self._buffer[: max(len(self._buffer) - keep, 0)]
        self._input_delta(events, text)
        self._buffer = self._buffer[len(text) :]
        return False

    def _without_closing(self, text: str) -> str:
        return text.removesuffix(self._syntax.closing) if self._syntax.closing else text

    def _input_delta(self, events: list[ToolEvent], text: str) -> None:
        if text:
            events.append(ArgumentsDelta(self._calls - 1, text))


class _Patterns:
    """A syntax as regular expressions that let blanks be free."""

    def __init__(self, syntax: CallSyntax) -> None:
        name = f"{_NAME}(?:{_loose(syntax.after_name)}|(?P<raw>{re.escape(syntax.before_raw)}))"
        self.first = re.compile(_loose(syntax.trigger + syntax.opening) + _loose(syntax.before_name) + name)
        after = _loose(syntax.after_arguments)
        self.following = re.compile(after + _loose(syntax.between) + _loose(syntax.before_name) + name)
        self.last = re.compile(after + _loose(syntax.closing))


def _loose(text: str) -> str:
    """`text` with blanks free wherever it has some and around JSON's punctuation, but never inside quotes."""
    pieces = re.findall(r"\w+|\s+|[{}\[\],:]|[^\w\s{}\[\],:]+", text)
    return "".join(r"\s*" if piece.isspace() else _loose_piece(piece) for piece in pieces)


def _loose_piece(piece: str) -> str:
    return rf"\s*{re.escape(piece)}\s*" if piece in _PUNCTUATION else re.escape(piece)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _add_text(events: list[ToolEvent], text: str) -> None:
    if text:
        events.append(TextDelta(text))
