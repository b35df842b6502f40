"""Texts of answers as their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.text.tools.tool import ArgumentsDelta, CallStart, TextDelta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.text.tools.dialect import Dialect
    from pennyweight.text.tools.tool import Tool, ToolEvent


def parse(dialect: Dialect, tools: Sequence[Tool], text: str, *, step: int = 7) -> list[ToolEvent]:
    """The events of `text` given in pieces of `step` characters, neighbouring deltas joined."""
    parser = dialect.parser(tools)
    events: list[ToolEvent] = []
    for start in range(0, len(text), step):
        events += parser.push(text[start : start + step])
    return joined([*events, *parser.flush()])


def joined(events: Sequence[ToolEvent]) -> list[ToolEvent]:
    result: list[ToolEvent] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            result[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ArgumentsDelta) and isinstance(last, ArgumentsDelta):
            assert event.index == last.index
            result[-1] = ArgumentsDelta(event.index, last.text + event.text)
        else:
            result.append(event)
    return result


def call(index: int, name: str, arguments: str, *, custom: bool = False) -> list[ToolEvent]:
    return [CallStart(index, name, "custom" if custom else "function"), ArgumentsDelta(index, arguments)]
