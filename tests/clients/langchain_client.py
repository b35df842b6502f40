"""langchain-openai: an answer, a stream, a tool bound and called, structured output."""

from __future__ import annotations

import os

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


@tool
def switch(on: bool) -> str:
    """Turn the light on or off."""
    return f"the light is {'on' if on else 'off'}"


class Light(BaseModel):
    """A light."""

    on: bool


def main() -> None:
    model = ChatOpenAI(model=os.environ["MODEL"], max_tokens=200, seed=7, temperature=0, max_retries=0)
    assert isinstance(model.invoke("Hello"), AIMessage)
    assert "".join(
        chunk.text if isinstance(chunk.text, str) else chunk.text() for chunk in model.stream("Hello")
    )
    bound = model.bind_tools([switch], tool_choice="required", parallel_tool_calls=False, strict=True)
    question = HumanMessage("Light, please.")
    answer = bound.invoke([question])
    (call,) = answer.tool_calls
    assert call["name"] == "switch"
    result = ToolMessage(switch.invoke(call["args"]), tool_call_id=call["id"])
    model.bind_tools([switch]).invoke([question, answer, result])
    for method in ("json_schema", "function_calling"):
        # Strict: the tiny model would add properties to an open object without end.
        typed = model.with_structured_output(Light, method=method, strict=True)
        assert isinstance(typed.invoke("Is it on?"), Light)


if __name__ == "__main__":
    main()
