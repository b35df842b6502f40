"""instructor: typed answers by tools and by JSON schema."""

from __future__ import annotations

import os
from typing import Literal

import instructor
import openai
from pydantic import BaseModel, ConfigDict


class Light(BaseModel):
    model_config = ConfigDict(extra="forbid")  # the tiny model would add properties without end

    on: bool
    level: Literal[1, 2, 3]


def main() -> None:
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS_STRICT):
        client = instructor.from_openai(openai.OpenAI(max_retries=0), mode=mode)
        light = client.chat.completions.create(
            model=os.environ["MODEL"],
            messages=[{"role": "user", "content": "The light is on, at 3."}],
            response_model=Light,
            max_tokens=200,
            temperature=0,
            max_retries=0,
        )
        assert isinstance(light, Light), mode


if __name__ == "__main__":
    main()
