"""Making a request of what was asked: at once where it is short, beside the event loop where it may be long.

Rendering and encoding a short chat takes 0.1 ms, handing that to a thread and back as much again, and every
thread that wants the interpreter makes the engine's wait for it. Templates come with model files: one that
takes its time with short chats is found out, and is rendered beside the loop until it is quick again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from pennyweight.answers.conversation import Conversation
from pennyweight.answers.response_format import TextFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.conversation import Source
    from pennyweight.answers.options import Options

T = TypeVar("T")
MAX_CHARS: Final = 1024
MAX_MESSAGES: Final = 8
QUICK_S: Final = 0.005
"""Of processor time, what short requests may take on the event loop, in a running mean."""
NEW_WEIGHT: Final = 1 / 16  # of the newest


def is_short(source: Source, options: Options) -> bool:
    """Whether little text is to be rendered and encoded, and nothing else is to be done."""
    plain = options.truncation == "disabled" and isinstance(options.response_format, TextFormat)
    if not plain or options.prediction or options.chat_template_kwargs:
        return False
    if not isinstance(source, Conversation):
        return isinstance(source.prompt, tuple) or len(source.prompt) <= MAX_CHARS
    if source.tools or len(source.messages) > MAX_MESSAGES:
        return False
    return all(not each.tool_calls for each in source.messages) and _num_chars(source) <= MAX_CHARS


def _num_chars(source: Conversation) -> int:
    return sum(len(each.text) + len(each.reasoning or "") for each in source.messages)


class Preparation:
    """Of requests to one model. `clock` tells seconds of processor time of the thread that asks."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._mean_s: float | None = None  # of short requests

    async def result(self, prepare: Callable[[], T], *, short: bool) -> T:
        """That of `prepare`; what it raises is raised."""
        if not short:
            return await asyncio.to_thread(prepare)
        if self._mean_s is None or self._mean_s > QUICK_S:  # the first one of all reads much
            return await asyncio.to_thread(self._timed, prepare)
        return self._timed(prepare)

    def _timed(self, prepare: Callable[[], T]) -> T:
        began_s = self._clock()
        try:
            return prepare()
        finally:
            taken_s = self._clock() - began_s
            mean_s = taken_s if self._mean_s is None else self._mean_s
            self._mean_s = mean_s + NEW_WEIGHT * (taken_s - mean_s)
