"""Gemma 2 and 3: no tools in the template; Google's guide asks for one JSON object, told in the user's turn.

Source: https://ai.google.dev/gemma/docs/capabilities/function-calling
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

SYNTAX = CallSyntax(after_name='", "parameters": ', place="start")

_INSTRUCTION = """You have access to functions. If you decide to call one, answer with nothing but its name \
and arguments in this form:
{{"name": "function name", "parameters": {{"argument name": "value"}}}}
Otherwise answer in plain text.

{tools}"""


def speaks(template: str) -> bool:
    return "<start_of_turn>" in template


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    """The instruction goes in front of the first message of the user: Gemma 2 knows no system message."""
    written = with_written_calls(messages, SYNTAX, result_role="user")
    if tools:
        functions = [tool.as_function()["function"] for tool in tools]
        text = _INSTRUCTION.format(tools=json.dumps(functions, ensure_ascii=False))
        first = next((index for index, message in enumerate(written) if message["role"] == "user"), None)
        if first is None:
            written.append({"role": "user", "content": text})
        else:
            written[first] = {**written[first], "content": f"{text}\n\n{written[first].get('content') or ''}"}
    return ToolPrompt(written)


GEMMA = Dialect(name="gemma", syntax=SYNTAX, prompt=prompt)
