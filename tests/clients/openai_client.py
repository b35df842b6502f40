"""The official client, of any version from 1.40: whole answers, streams, tools, JSON, errors.

Run by an environment that has only the client: nothing of this project is imported.
"""

from __future__ import annotations

import json
import os

import openai

MODEL = os.environ["MODEL"]
QUESTION = [{"role": "user", "content": "What is the weather?"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}


def main() -> None:
    client = openai.OpenAI(_strict_response_validation=True, max_retries=0)
    create = client.chat.completions.create
    common = {"model": MODEL, "messages": QUESTION, "max_tokens": 200, "seed": 7}
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"

    whole = create(**common)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    stream = create(**common, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

    several = create(**common, n=2, logprobs=True, top_logprobs=2, stop=["\n\n\n"])
    assert len(several.choices) == 2
    assert len(several.choices[0].logprobs.content[0].top_logprobs) == 2

    call_a_tool(client, common)
    run_an_assistant(client)
    follow_a_schema(client, common)
    meet_errors(client, common)


def call_a_tool(client: openai.OpenAI, common: dict) -> None:
    create = client.chat.completions.create
    answer = create(**common, tools=[TOOL], tool_choice="required", parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    history = [
        *QUESTION,
        answer.choices[0].message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    create(**{**common, "messages": history}, tools=[TOOL])
    arguments = ""
    for chunk in create(**common, tools=[TOOL], tool_choice="required", stream=True):
        for piece in chunk.choices[0].delta.tool_calls or []:
            arguments += piece.function.arguments or "" if piece.index == 0 else ""
    assert json.loads(arguments)


def run_an_assistant(client: openai.OpenAI) -> None:
    """As OpenAI's quickstart of Assistants has it, with a function that is called by a stream."""
    runs, messages = client.beta.threads.runs, client.beta.threads.messages
    assistant = client.beta.assistants.create(model=MODEL, name="Guide", tools=[TOOL], temperature=0)
    thread = client.beta.threads.create()
    messages.create(thread.id, role="user", content="What is the weather?")
    asked = {"thread_id": thread.id, "assistant_id": assistant.id}
    run = runs.create_and_poll(**asked, tool_choice="none", max_completion_tokens=300)
    assert run.status in ("completed", "incomplete"), run
    answer = messages.list(thread.id).data[0]
    assert (answer.role, answer.run_id) == ("assistant", run.id)
    assert [step.type for step in runs.steps.list(run.id, thread_id=thread.id)] == ["message_creation"]

    with runs.stream(**asked, tool_choice="required", parallel_tool_calls=False) as stream:
        stream.until_done()
        run = stream.get_final_run()
    calls = run.required_action.submit_tool_outputs.tool_calls
    outputs = [{"tool_call_id": call.id, "output": "sunny"} for call in calls]
    given = {"thread_id": thread.id, "tool_outputs": outputs}
    with runs.submit_tool_outputs_stream(run_id=run.id, **given, event_handler=Noted()) as stream:
        stream.until_done()
        run = stream.get_final_run()
    assert run.status in ("completed", "incomplete", "requires_action"), run
    assert client.beta.threads.delete(thread.id).deleted
    assert client.beta.assistants.delete(assistant.id).deleted


class Noted(openai.AssistantEventHandler):
    """Checks that text comes in order."""

    def on_text_delta(self, delta: object, snapshot: object) -> None:
        assert snapshot.value.endswith(delta.value)


def follow_a_schema(client: openai.OpenAI, common: dict) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, "strict": True}}
    answer = client.chat.completions.create(**common, response_format=form)
    assert set(json.loads(answer.choices[0].message.content)) == {"city"}


def meet_errors(client: openai.OpenAI, common: dict) -> None:
    for fields, kind, param in (
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"temperature": 7}, openai.BadRequestError, "temperature"),
        ({"extra_body": {"frobnicate": 1}}, openai.BadRequestError, "frobnicate"),
    ):
        try:
            client.chat.completions.create(**{**common, **fields})
        except kind as error:
            told = (error.param, bool(error.request_id))
        else:
            told = ("nothing", False)
        assert told == (param, True)


if __name__ == "__main__":
    main()
