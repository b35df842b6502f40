"""Phi 4 mini: a JSON list of calls between `<|tool_call|>` and `<|/tool_call|>`.

Its template takes the tools as JSON text in the system message. Calls of the past are the assistant's text.
Source: the model card of microsoft/Phi-4-mini-instruct. The tests' template is reconstructed: the model's own
has not been run here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pennyweight.text.tools.dialect import Dialect, ToolPrompt
from pennyweight.text.tools.history import with_written_calls
from pennyweight.text.tools.syntax import CallSyntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.tool import Tool

SYNTAX = CallSyntax(trigger="<|tool_call|>", opening="[", between=", ", closing="]<|/tool_call|>")


def speaks(template: str) -> bool:
    return "<|tool|>" in template and "<|/tool|>" in template


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    written = with_written_calls(messages, SYNTAX, result_role="tool_response")
    if tools:
        functions = [tool.as_function()["function"] for tool in tools]
        if not written or written[0]["role"] not in ("system", "developer"):
            written.insert(0, {"role": "system", "content": "You are a helpful assistant with some tools."})
        written[0] = {**written[0], "role": "system", "tools": json.dumps(functions, ensure_ascii=False)}
    return ToolPrompt(written)


PHI = Dialect(name="phi", syntax=SYNTAX, prompt=prompt, marks=frozenset({"<|tool_call|>", "<|/tool_call|>"}))
