"""Llama 3.1 to 3.3: an answer that is one JSON object with `name` and `parameters` is a call.

The template lists the tools and takes one call per message. Source: the chat template of
meta-llama/Llama-3.2-3B-Instruct and https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.text.tools.dialect import Dialect, ToolPrompt
from pennyweight.text.tools.history import with_parsed_calls, with_single_calls
from pennyweight.text.tools.syntax import CallSyntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.tool import Tool

SYNTAX = CallSyntax(after_name='", "parameters": ', place="start")


def speaks(template: str) -> bool:
    return "Environment: ipython" in template and '"parameters": ' in template


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    single = with_single_calls(with_parsed_calls(messages))
    return ToolPrompt(single, [tool.as_function() for tool in tools] or None)


LLAMA = Dialect(name="llama", syntax=SYNTAX, prompt=prompt)
