"""Hermes, and Qwen 2.5 and 3: `<tool_call>` around one JSON object per call.

The template lists the tools and explains the format. Source: https://github.com/NousResearch/Hermes-Function-Calling
and the chat template of Qwen/Qwen2.5-7B-Instruct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.text.tools.dialect import Dialect, ToolPrompt
from pennyweight.text.tools.history import with_parsed_calls
from pennyweight.text.tools.syntax import CallSyntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.tool import Tool

SYNTAX = CallSyntax(
    trigger="<tool_call>", opening="\n", between="\n</tool_call>\n<tool_call>\n", closing="\n</tool_call>"
)

MARKS = frozenset({"<tool_call>", "</tool_call>"})


def speaks(template: str) -> bool:
    """Whether a template explains this format; other families use the tag with another content."""
    names_arguments = '"arguments": ' in template.replace('\\"', '"')
    others = "<tool_calls>" in template or "<use_mcp_tool>" in template
    return names_arguments and "<tool_call>" in template and not others


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    return ToolPrompt(with_parsed_calls(messages), [tool.as_function() for tool in tools] or None)


HERMES = Dialect(name="hermes", syntax=SYNTAX, prompt=prompt, marks=MARKS)
