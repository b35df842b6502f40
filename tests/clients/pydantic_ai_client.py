"""pydantic-ai: plain text, a typed answer by tool and by native JSON schema, a stream."""

from __future__ import annotations

import asyncio
import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel


class Light(BaseModel):
    on: bool


async def main() -> None:
    model = OpenAIChatModel(os.environ["MODEL"])
    settings = {"max_tokens": 100, "temperature": 0.0}
    text = Agent(model, model_settings=settings)
    assert isinstance((await text.run("Hello")).output, str)
    async with text.run_stream("Hello") as stream:
        assert isinstance(await stream.get_output(), str)
    for output in (Light, NativeOutput(Light)):
        typed = Agent(model, output_type=output, model_settings=settings)
        assert isinstance((await typed.run("Is it on?")).output, Light)


if __name__ == "__main__":
    asyncio.run(main())
