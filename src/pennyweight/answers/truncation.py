"""`truncation: auto`: the oldest turns are left out until prompt and answer fit the context.

A turn is a message of the user with all that follows it, so calls go with their outputs. What is in front
(the system message, instructions among it) and the last turn always stay. Cuts are made at few places, which
depend on the history's beginning alone: the next turns of the same conversation are cut at the same place,
and their common prefix stays cached.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pennyweight.answers.conversation import Conversation, Message

ASSUMED_TOKENS: Final = 256
"""Room kept for an answer without a limit."""


def prompt_room(context: int, max_tokens: int | None) -> int:
    """Tokens the prompt may have: an answer of `max_tokens` fits beside it, or half of the context."""
    return context - min(ASSUMED_TOKENS if max_tokens is None else max_tokens, context // 2)


def fitted(
    conversation: Conversation, fits: Callable[[Conversation], bool], *, step_bytes: int
) -> Conversation:
    """`conversation` without its oldest turns, as few as the places allow; at least the last one is left.

    `fits` must hold for what is shorter if it holds for what is longer. Places are `step_bytes` of text
    apart; only if none of them will do, any turn may be the first.
    """
    if fits(conversation):
        return conversation
    front, starts = _turns(conversation.messages)
    if len(starts) < 2:
        return conversation

    def cut(start: int) -> Conversation:
        messages = (*conversation.messages[:front], *conversation.messages[start:])
        return replace(conversation, messages=messages)

    def first_that_fits(places: Sequence[int]) -> int:
        return bisect_left(places, 1, key=lambda start: fits(cut(start)))

    places = _places(conversation.messages, starts, step_bytes)
    if (found := first_that_fits(places)) < len(places):
        return cut(places[found])
    later = [start for start in starts if not places or start > places[-1]]
    found = first_that_fits(later)
    return cut(later[min(found, len(later) - 1)]) if later else cut(starts[-1])


def _turns(messages: Sequence[Message]) -> tuple[int, list[int]]:
    """How many messages are in front of all turns, and where the turns begin."""
    front = next((i for i, message in enumerate(messages) if message.role not in ("system", "developer")), 0)
    later = (i for i, message in enumerate(messages) if message.role == "user" and i > front)
    return front, [front, *later]


def _places(messages: Sequence[Message], starts: Sequence[int], step_bytes: int) -> list[int]:
    """The turns that are the first behind a multiple of `step_bytes`."""
    places, passed = [], 0
    for start, end in pairwise(starts):
        before = passed
        passed += sum(_num_bytes(message) for message in messages[start:end])
        if passed // step_bytes > before // step_bytes:
            places.append(end)
    return places


def _num_bytes(message: Message) -> int:
    calls = sum(len(call.arguments.encode()) for call in message.tool_calls)
    return len(message.text.encode()) + calls
