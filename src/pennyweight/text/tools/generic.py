"""For models that were never taught tools: an instruction, and a grammar that makes up for the rest.

The format is Hermes', the most widespread in training data. Calls and results of the past become text.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.text.tools.dialect import Dialect, ToolPrompt
from pennyweight.text.tools.hermes import MARKS, SYNTAX
from pennyweight.text.tools.history import with_written_calls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.tool import Tool

_INSTRUCTION = """You can call these functions, described by JSON schemas:
{tools}

To call a function, answer only with its name and arguments, like this:
<tool_call>
{{"name": "function_name", "arguments": {{"argument": "value"}}}}
</tool_call>
Results come back in <tool_response> tags. Answer in plain text when no function is needed."""


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    """The instruction goes in front of the system message, or becomes one."""
    results = ("<tool_response>\n", "\n</tool_response>")
    written = with_written_calls(messages, SYNTAX, result_role="user", results=results)
    return ToolPrompt(with_instruction(written, _INSTRUCTION, tools))


def with_instruction(
    messages: list[dict[str, Any]], instruction: str, tools: Sequence[Tool]
) -> list[dict[str, Any]]:
    """`messages` with `instruction` at the head of the system message; `{tools}` in it become JSON lines."""
    if not tools:
        return messages
    lines = "\n".join(json.dumps(tool.as_function()["function"], ensure_ascii=False) for tool in tools)
    text = instruction.format(tools=lines)
    if messages and messages[0]["role"] in ("system", "developer"):
        first = {**messages[0], "content": f"{text}\n\n{messages[0].get('content') or ''}".rstrip()}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


GENERIC = Dialect(name="generic", syntax=replace(SYNTAX, max_calls=4), prompt=prompt, marks=MARKS)
"""Few calls at once: a model that was never taught tools repeats its first call for as long as it may."""

GENERIC_TAUGHT = Dialect(name="generic-taught", syntax=SYNTAX, prompt=prompt, marks=MARKS)
"""For models that were taught tools in a dialect we do not know."""
