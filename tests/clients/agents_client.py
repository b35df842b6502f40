"""openai-agents over chat completions: a tool is called, its result read, a typed answer comes back."""

from __future__ import annotations

import asyncio
import os

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

calls: list[bool] = []


@function_tool
def switch(on: bool) -> str:
    """Turn the light on or off."""
    calls.append(on)
    return "done"


class Light(BaseModel):
    on: bool


async def main() -> None:
    set_tracing_disabled(True)
    model = OpenAIChatCompletionsModel(model=os.environ["MODEL"], openai_client=AsyncOpenAI(max_retries=0))
    settings = ModelSettings(tool_choice="required", max_tokens=200, temperature=0, parallel_tool_calls=False)
    agent = Agent(name="caller", model=model, tools=[switch], model_settings=settings)
    agent.tool_use_behavior = "stop_on_first_tool"
    assert (await Runner.run(agent, "Light, please.")).final_output == "done"
    assert len(calls) == 1
    typed = Agent(
        name="typed",
        model=model,
        output_type=Light,
        model_settings=ModelSettings(max_tokens=200, temperature=0),
    )
    assert isinstance((await Runner.run(typed, "Is it on?")).final_output, Light)
    streamed = Runner.run_streamed(typed, "Is it on?")
    async for _ in streamed.stream_events():
        pass
    assert isinstance(streamed.final_output, Light)


if __name__ == "__main__":
    asyncio.run(main())
