"""An answer on the terminal while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.events import Finished, TextDelta
from pennyweight.cli.terminal import PromptBar, write
from pennyweight.core import PromptProgress
from pennyweight.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.answers.events import AnswerEvent


def show(events: Iterator[AnswerEvent], pieces: list[str], *, quiet: bool = False) -> Finished:
    """Write the text as it comes and add it to `pieces`, so that an interrupted caller has what was said."""
    for event in _patiently(events):
        if isinstance(event, TextDelta):
            pieces.append(event.text)
            if not quiet:
                write(event.text)
        elif isinstance(event, Finished):
            if not quiet and not "".join(pieces[-1:]).endswith("\n"):
                write("\n")
            return event
    raise EngineError("the engine ended an answer without saying why")


def _patiently(events: Iterator[AnswerEvent]) -> Iterator[AnswerEvent]:
    """The same events; a bar shows how far a long prompt has been read."""
    bar = PromptBar()
    try:
        for event in events:
            if isinstance(event, PromptProgress):
                bar.show(event.computed, event.total)
            elif isinstance(event, TextDelta):
                bar.close()
            yield event
    finally:
        bar.close()
