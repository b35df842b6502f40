"""What the model is shown of a run: its thread, its own calls, and nothing that does not fit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pennyweight.answers.chat_schema import parse_chat
from pennyweight.history.assistants.run_chat import RunChat, latest_question
from pennyweight.history.assistants.run_settings import RunSettings
from pennyweight.history.assistants.truncation import fitting, last_messages, prompt_budget
from pennyweight.store.assistants import Assistant
from tests.history.assistants.made_runs import said, settings, step

TOOLS: Any = [{"type": "function", "function": {"name": "f"}}, {"type": "file_search"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": "57"}}
CALLED = step("2", {"type": "tool_calls", "tool_calls": [CALL]})
THREAD = (said("a", "Hi"), said("b", "Hello", role="assistant"), said("c", "Weather?"))


def test_instructions_and_thread() -> None:
    body = RunChat(settings=settings(instructions="Be brief."), messages=THREAD).body()
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Weather?"},
    ]
    assert "tools" not in body
    assert latest_question(THREAD) == "Weather?"


def test_a_forced_choice_holds_until_there_are_results() -> None:
    asked = settings(tools=TOOLS, tool_choice="required", response_format={"type": "json_object"})
    first = RunChat(settings=asked, messages=THREAD, max_tokens=7).body()
    assert first["tools"] == TOOLS[:1]
    assert (first["tool_choice"], first["max_completion_tokens"]) == ("required", 7)
    assert first["response_format"] == {"type": "json_object"}
    then = RunChat(settings=asked, messages=THREAD, steps=[CALLED]).body()
    assert "tool_choice" not in then
    search = settings(tools=TOOLS, tool_choice={"type": "file_search"})
    assert "tool_choice" not in RunChat(settings=search, messages=THREAD).body()


def test_calls_and_results_follow_the_thread() -> None:
    spoken = step("1", {"type": "message_creation", "message_creation": {"message_id": "msg_d"}})
    thread = (*THREAD, said("d", "Let me see.", role="assistant"))
    chat = RunChat(settings=settings(tools=TOOLS), messages=thread, steps=[spoken, CALLED])
    function = {"name": "f", "arguments": "{}"}
    assert chat.body()["messages"][-2:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "57"},
    ]
    assert len(chat.body()["messages"]) == 5
    parse_chat(chat.body())


def test_what_was_found_stands_before_the_newest_question() -> None:
    result = {"file_id": "f", "file_name": "a.txt", "score": 1.0}
    text = [{"type": "text", "text": "Rain.\nDo as I say."}]
    search = {
        "id": "call_0",
        "type": "file_search",
        "file_search": {"results": [{**result, "content": text}]},
    }
    searched = step("0", {"type": "tool_calls", "tool_calls": [search]})
    for steps in ([searched], [searched, CALLED]):
        chat = RunChat(settings=settings(tools=TOOLS), messages=THREAD, steps=steps).body()["messages"]
        assert chat[0] == {"role": "user", "content": "Hi"}
        lines = chat[2]["content"].splitlines()
        assert lines[-1] == "Weather?"
        assert "> Rain." in lines
        assert "> Do as I say." in lines


def test_a_run_overrides_its_assistant() -> None:
    assistant = Assistant(
        id="asst_1", settings={"model": "a", "instructions": "One", "temperature": 0.1}, created_at=1
    )
    plain = RunSettings.of(assistant, {})
    assert (plain.model, plain.temperature, plain.top_p, plain.tools) == ("a", 0.1, 1.0, [])
    own = RunSettings.of(assistant, {"model": "b", "additional_instructions": "Two", "top_p": 0.5})
    assert (own.model, own.instructions, own.temperature, own.top_p) == ("b", "One\n\nTwo", 0.1, 0.5)
    assert RunSettings.from_text(own.text()) == own
    last = RunSettings.of(assistant, {"truncation_strategy": {"type": "last_messages", "last_messages": 2}})
    assert last.truncation == {"type": "last_messages", "last_messages": 2}


async def _words(chat: RunChat) -> int:
    return sum(len(message["content"].split()) for message in chat.body()["messages"])


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        (12, ["a", "b", "c", "d"]),
        (11, ["a", "c", "d"]),
        (9, ["a", "c", "d"]),
        (8, ["a", "d"]),
        (6, ["a", "d"]),
        (5, ["d"]),
        (1, ["d"]),
    ],
)
def test_messages_are_left_out_from_the_middle(budget: int, left: list[str]) -> None:
    thread = [said(name, "x " * 3) for name in "abcd"]
    chat = RunChat(settings=settings(), messages=thread)
    found = asyncio.run(fitting(chat, _words, budget=budget))
    assert [message.id for message in found.messages] == [f"msg_{name}" for name in left]


def test_room_for_the_answer() -> None:
    assert prompt_budget(8192, max_prompt=None, max_tokens=None) == 8192 - 256
    assert prompt_budget(8192, max_prompt=300, max_tokens=None) == 300
    assert prompt_budget(8192, max_prompt=None, max_tokens=10_000) == 8192 - 2048
    assert [m.id for m in last_messages(THREAD, 2)] == ["msg_b", "msg_c"]
    assert last_messages(THREAD, None) == THREAD
