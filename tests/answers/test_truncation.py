"""The oldest turns go, as few as possible, whole, and at places that stay while the history grows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pennyweight.answers.conversation import Conversation, Message, TextPart, ToolCall
from pennyweight.answers.truncation import fitted, prompt_room

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM = Message(role="system", parts=(TextPart("s"),))


def said(role: str, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text),))  # type: ignore[arg-type]


def turn(number: int, *, length: int = 10, tool: bool = False) -> list[Message]:
    """A question, perhaps a call with its output, and an answer."""
    called = [
        Message(role="assistant", tool_calls=(ToolCall(id=f"c{number}", name="f", arguments="{}"),)),
        Message(role="tool", parts=(TextPart("o"),), tool_call_id=f"c{number}"),
    ]
    question, answer = said("user", f"{number}".ljust(length, "q")), said("assistant", "a" * length)
    return [question, *(called if tool else ()), answer]


def length(conversation: Conversation) -> int:
    return sum(len(message.text) + 2 for message in conversation.messages)


def cut(messages: Sequence[Message], room: int, *, step: int = 1) -> tuple[Message, ...]:
    conversation = Conversation(messages=tuple(messages))
    return fitted(conversation, lambda one: length(one) <= room, step_bytes=step).messages


def test_what_fits_stays() -> None:
    messages = [SYSTEM, *turn(1), *turn(2)]
    assert cut(messages, 1000) == tuple(messages)


def test_the_oldest_turns_go_and_no_more() -> None:
    turns = [turn(number) for number in range(5)]
    messages = [SYSTEM, *(message for one in turns for message in one)]
    assert cut(messages, 3 + 3 * 24) == (SYSTEM, *turns[2], *turns[3], *turns[4])
    assert cut(messages, 3 + 3 * 24 - 1) == (SYSTEM, *turns[3], *turns[4])


def test_the_last_turn_stays_even_if_it_does_not_fit() -> None:
    messages = [SYSTEM, *turn(1), *turn(2)]
    assert cut(messages, 1) == (SYSTEM, *messages[3:])
    assert cut(turn(1), 1) == tuple(turn(1))


def test_without_instructions() -> None:
    assert cut([*turn(1), *turn(2)], 24) == tuple(turn(2))
    assert cut([said("assistant", "Welcome."), *turn(1)], 24) == tuple(turn(1))


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 400),
    st.integers(1, 200),
    st.booleans(),
)
def test_whatever_is_left_is_whole(
    shapes: list[tuple[int, bool]], room: int, step: int, instructed: bool
) -> None:
    front = [SYSTEM] if instructed else []
    turns = [turn(number, length=size, tool=tool) for number, (size, tool) in enumerate(shapes)]
    left = cut([*front, *(message for one in turns for message in one)], room, step=step)
    kept = [tuple(front) + tuple(message for one in turns[n:] for message in one) for n in range(len(turns))]
    assert left in kept
    fitting = [messages for messages in kept if length(Conversation(messages=messages)) <= room]
    assert (left in fitting) == bool(fitting)
    assert left[: len(front)] == tuple(front)


def test_places_stay_while_the_history_grows() -> None:
    firsts = []
    for count in range(10, 60):
        messages = [SYSTEM, *(message for number in range(count) for message in turn(number))]
        firsts.append(cut(messages, 400, step=100)[1].text)
    changes = sum(one != other for one, other in pairwise(firsts))
    assert 5 <= changes <= 60 * 20 / 100 + 1


def test_the_room_of_the_prompt() -> None:
    assert prompt_room(8192, None) == 8192 - 256
    assert prompt_room(8192, 100) == 8092
    assert prompt_room(8192, 100_000) == 4096
    assert prompt_room(100, None) == 50
