"""Mistral: `[TOOL_CALLS]`, then a JSON list of calls; since 2025 name, `[ARGS]` and arguments of each call.

Identifiers of calls in its prompts have nine letters and digits. Source: the chat templates of
Mistral-Nemo-Instruct-2407 and Devstral-Small-2507.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pennyweight.text.tools.dialect import Dialect, ToolPrompt
from pennyweight.text.tools.history import with_parsed_calls
from pennyweight.text.tools.syntax import CallSyntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.tool import Tool

LIST_SYNTAX = CallSyntax(trigger="[TOOL_CALLS]", opening="[", between=", ", closing="]")
NAMED_SYNTAX = CallSyntax(
    trigger="[TOOL_CALLS]",
    before_name="",
    after_name="[ARGS]",
    after_arguments="",
    before_raw="[ARGS]",
    between="[TOOL_CALLS]",
)
_ID = re.compile(r"[a-zA-Z0-9]{9}")


def speaks(template: str) -> bool:
    return "[TOOL_CALLS]" in template


def writes_names(template: str) -> bool:
    """Whether calls are no list: each has its name before `[ARGS]`."""
    return "[ARGS]" in template


def prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> ToolPrompt:
    parsed = with_parsed_calls(messages)
    for message in parsed:
        if message.get("tool_call_id") is not None:
            message["tool_call_id"] = _short_id(str(message["tool_call_id"]))
        for call in message.get("tool_calls", []):
            call["id"] = _short_id(str(call["id"]))
    return ToolPrompt(parsed, [tool.as_function() for tool in tools] or None)


def _short_id(identity: str) -> str:
    return identity if _ID.fullmatch(identity) else sha256(identity.encode()).hexdigest()[:9]


_MARKS = frozenset({"[TOOL_CALLS]", "[ARGS]"})
MISTRAL_LIST = Dialect(name="mistral", syntax=LIST_SYNTAX, prompt=prompt, marks=_MARKS)
MISTRAL_NAMED = Dialect(name="mistral-named", syntax=NAMED_SYNTAX, prompt=prompt, marks=_MARKS)
