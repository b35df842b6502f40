"""OpenAI's walk-throughs of Assistants as they are written, whole and streamed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from openai import AssistantEventHandler
from typing_extensions import override

from tests.server.assisting import CALL, SHORT, thread_with, written

if TYPE_CHECKING:
    import openai
    from openai.types.beta import Assistant
    from openai.types.beta.threads import Message, Text, TextDelta
    from openai.types.beta.threads.runs import ToolCall

    from tests.server.live import LiveServer


def raw_events(server: LiveServer, path: str, **body: Any) -> list[tuple[str, Any]]:
    """Every event of a stream as it is on the wire."""
    reply = httpx.post(f"{server.url}{path}", json={"stream": True, **body}, timeout=60)
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    events = []
    for block in reply.text.removesuffix("\n\n").split("\n\n"):
        name, _, data = block.partition("\n")
        text = data.removeprefix("data: ")
        events.append((name.removeprefix("event: "), text if text == "[DONE]" else json.loads(text)))
    return events


def test_the_quickstart(client: openai.OpenAI, server: LiveServer) -> None:
    """https://platform.openai.com/docs/assistants/quickstart, without the code interpreter."""
    assistant = client.beta.assistants.create(
        name="Math Tutor",
        instructions="You are a personal math tutor. Write and run code to answer math questions.",
        model="gpt-4o-mini",
    )
    thread = client.beta.threads.create()
    message = client.beta.threads.messages.create(
        thread_id=thread.id,
        role="user",
        content="I need to solve the equation `3x + 11 = 14`. Can you help me?",
    )
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant.id,
        instructions="Please address the user as Jane Doe. The user has a premium account.",
        max_completion_tokens=20,
    )
    assert run.status in ("completed", "incomplete")
    messages = client.beta.threads.messages.list(thread_id=thread.id)
    answer, question = messages.data
    assert question == message
    assert (answer.role, answer.assistant_id, answer.run_id) == ("assistant", assistant.id, run.id)
    assert answer.status == run.status
    assert run.model == server.model
    assert run.instructions.startswith("Please address")
    assert run.usage is not None
    assert run.usage.completion_tokens <= 20
    assert run.usage.total_tokens == run.usage.prompt_tokens + run.usage.completion_tokens
    (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
    assert (step.type, step.status) == ("message_creation", "completed")
    assert step.step_details.type == "message_creation"
    assert step.step_details.message_creation.message_id == answer.id
    assert step.usage is not None
    assert step.usage.total_tokens == run.usage.total_tokens
    assert client.beta.threads.runs.steps.retrieve(step.id, thread_id=thread.id, run_id=run.id) == step
    assert [m.id for m in client.beta.threads.messages.list(thread.id, run_id=run.id)] == [answer.id]


class Handler(AssistantEventHandler):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.text = ""

    @override
    def on_text_created(self, text: Text) -> None:
        self.notes.append("text created")

    @override
    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        self.text += delta.value or ""
        assert snapshot.value == self.text

    @override
    def on_text_done(self, text: Text) -> None:
        self.notes.append("text done")
        assert text.value == self.text

    @override
    def on_message_done(self, message: Message) -> None:
        self.notes.append(f"message {message.status}")

    @override
    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        self.notes.append(f"call of {tool_call.type}")

    @override
    def on_tool_call_done(self, tool_call: ToolCall) -> None:
        self.notes.append("call done")

    @override
    def on_end(self) -> None:
        self.notes.append("end")


def test_streaming_with_an_event_handler(client: openai.OpenAI, assistant: Assistant) -> None:
    thread = thread_with(client, "Say something.")
    handler = Handler()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=assistant.id, event_handler=handler, **SHORT
    ) as stream:
        stream.until_done()
        run = stream.get_final_run()
        (message,) = stream.get_final_messages()
        (step,) = stream.get_final_run_steps()
    assert run.status == message.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_completion_tokens"
    assert handler.notes == ["text created", "text done", "message incomplete", "end"]
    assert client.beta.threads.messages.list(thread.id).data[0] == message
    assert step.id == client.beta.threads.runs.steps.list(run.id, thread_id=thread.id).data[0].id
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Go on."}]}, **SHORT
    ) as stream:
        texts = list(stream.text_deltas)
    assert texts


def test_streamed_and_polled_are_the_same_answer(client: openai.OpenAI, assistant: Assistant) -> None:
    answers = []
    for stream in (False, True):
        thread = thread_with(client, "Say something long.")
        wanted: Any = {"thread_id": thread.id, "assistant_id": assistant.id, "max_completion_tokens": 40}
        if stream:
            with client.beta.threads.runs.stream(**wanted) as events:
                events.until_done()
        else:
            client.beta.threads.runs.create_and_poll(**wanted)
        answers.append(written(iter(client.beta.threads.messages.list(thread.id)))[0])
    assert answers[0] == answers[1]


def test_the_events_of_a_run_and_their_order(
    client: openai.OpenAI, server: LiveServer, assistant: Assistant
) -> None:
    body = {"assistant_id": assistant.id, "thread": {"messages": [{"role": "user", "content": "Hi"}]}}
    events = raw_events(server, "/v1/threads/runs", **body, **SHORT)
    names = [name for name, _ in events if name != "thread.message.delta"]
    assert names == [
        "thread.created",
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.incomplete",
        "thread.run.step.completed",
        "thread.run.incomplete",
        "done",
    ]
    told = dict(events)
    assert told["done"] == "[DONE]"
    assert told["thread.run.queued"]["status"] == "queued"
    assert told["thread.run.incomplete"]["usage"]["completion_tokens"] == 8
    (block,) = told["thread.message.incomplete"]["content"]
    deltas = [data["delta"]["content"][0]["text"]["value"] for name, data in events if name.endswith("delta")]
    assert "".join(deltas) == block["text"]["value"]
    thread_id = told["thread.created"]["id"]
    (message, _) = client.beta.threads.messages.list(thread_id)
    assert message.to_dict() == told["thread.message.incomplete"]


def test_function_calling(client: openai.OpenAI, caller: Assistant) -> None:
    """https://platform.openai.com/docs/assistants/tools/function-calling, without streaming."""
    thread = thread_with(client, "What's the weather in Rome today?")
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=caller.id, **CALL)
    assert run.status == "requires_action"
    assert run.expires_at is not None
    assert run.usage is None
    assert run.required_action is not None
    tool_outputs: Any = []
    for tool in run.required_action.submit_tool_outputs.tool_calls:
        assert tool.function.name == "get_weather"
        assert json.loads(tool.function.arguments)["city"] in ("Rome", "Oslo")
        tool_outputs.append({"tool_call_id": tool.id, "output": "57 degrees"})
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        thread_id=thread.id, run_id=run.id, tool_outputs=tool_outputs
    )
    while run.status == "requires_action" and run.required_action is not None:  # it may call again
        calls = run.required_action.submit_tool_outputs.tool_calls
        outputs: Any = [{"tool_call_id": call.id, "output": "57"} for call in calls]
        run = client.beta.threads.runs.submit_tool_outputs_and_poll(
            thread_id=thread.id, run_id=run.id, tool_outputs=outputs
        )
    assert run.status == "completed", run
    steps = list(client.beta.threads.runs.steps.list(run.id, thread_id=thread.id, order="asc"))
    first = steps[0]
    assert first.step_details.type == "tool_calls"
    (call,) = first.step_details.tool_calls
    assert call.type == "function"
    assert call.function.output == "57 degrees"
    assert {step.status for step in steps} == {"completed"}
    assert run.usage is not None
    assert run.usage.completion_tokens == sum(s.usage.completion_tokens for s in steps if s.usage)
    assert written(iter(client.beta.threads.messages.list(thread.id, run_id=run.id)))


def test_function_calling_streamed(client: openai.OpenAI, caller: Assistant) -> None:
    thread = thread_with(client, "What's the weather?")
    handler = Handler()
    with client.beta.threads.runs.stream(
        thread_id=thread.id, assistant_id=caller.id, event_handler=handler, **CALL
    ) as stream:
        stream.until_done()
        run = stream.get_final_run()
    assert run.status == "requires_action"
    assert run.required_action is not None
    assert handler.notes[0] == "call of function"
    (call,) = run.required_action.submit_tool_outputs.tool_calls
    with client.beta.threads.runs.submit_tool_outputs_stream(
        thread_id=thread.id,
        run_id=run.id,
        tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
        event_handler=AssistantEventHandler(),
    ) as more:
        names = [event.event for event in more]
    assert names[:3] == ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
    assert names[-1] in ("thread.run.completed", "thread.run.requires_action")
