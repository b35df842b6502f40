"""Which messages of a thread a run reads: as many as fit, left out from the middle.

What is kept longest: the first message, which often says what it is all about, and the newest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pennyweight.history.assistants.run_chat import RunChat
    from pennyweight.store.thread_messages import ThreadMessage

_LEAST_ROOM = 256  # tokens for the answer, unless it may have fewer


def last_messages(messages: Sequence[ThreadMessage], count: int | None) -> Sequence[ThreadMessage]:
    """The newest `count`; None: all."""
    return messages if count is None else messages[-count:]


def prompt_budget(context: int, *, max_prompt: int | None, max_tokens: int | None) -> int:
    """How long a prompt may be, in tokens, so that an answer has room behind it."""
    room = min(max_tokens or _LEAST_ROOM, context // 4)
    budget = context - room
    return budget if max_prompt is None else min(budget, max_prompt)


async def fitting(chat: RunChat, count: Callable[[RunChat], Awaitable[int]], *, budget: int) -> RunChat:
    """`chat` with as few messages left out as makes its prompt fit `budget` tokens.

    If not even the newest message fits it is alone, and too long.
    """
    if await count(chat) <= budget:
        return chat
    low, high = 1, max(len(chat.messages) - 1, 0)
    while low < high:
        middle = (low + high) // 2
        if await count(_shortened(chat, middle)) <= budget:
            high = middle
        else:
            low = middle + 1
    return _shortened(chat, high)


def _shortened(chat: RunChat, num_left_out: int) -> RunChat:
    messages = list(chat.messages)
    behind_first = messages[1 + num_left_out :]
    if not behind_first:
        return replace(chat, messages=messages[-1:])
    return replace(chat, messages=[messages[0], *behind_first])
