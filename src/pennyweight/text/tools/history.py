"""The calls and results of the past, as templates and models expect them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pennyweight.errors import InvalidRequestError
from pennyweight.text.tools.json_text import object_so_far

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.text.tools.syntax import CallSyntax


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_RESULT = "_result"
"""Marks a message that was a tool's while messages are put together."""


def with_parsed_calls(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`messages` with the arguments of calls as objects, which templates encode in their own way.

    A custom tool's call looks like a function's that takes `input`. Arguments that were cut
    off are closed where they end. InvalidRequestError names others that are not a JSON object.
    """
    return [_parsed(message, index) for index, message in enumerate(messages)]


def with_single_calls(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`messages` in which every call has a message of its own, followed by its result."""
    single: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []  # calls of one message that come after its first
    for message in messages:
        if message["role"] in ("tool", "function") and waiting:
            identity = message.get("tool_call_id")
            later = next((call for call in waiting if call["id"] == identity), None)
            if later is not None:
                waiting.remove(later)
                single.append({"role": "assistant", "content": "", "tool_calls": [later]})
            single.append(message)
            continue
        single += [{"role": "assistant", "content": "", "tool_calls": [call]} for call in waiting]
        calls = message.get("tool_calls") or []
        waiting = list(calls[1:])
        single.append({**message, "tool_calls": calls[:1]} if calls else message)
    return single + [{"role": "assistant", "content": "", "tool_calls": [call]} for call in waiting]


def with_written_calls(
    messages: Sequence[Mapping[str, Any]],
    syntax: CallSyntax,
    *,
    result_role: str,
    results: tuple[str, str] = ("", ""),
) -> list[dict[str, Any]]:
    """`messages` for a template that knows neither calls nor results: both become text.

    Results are said by `result_role`, with the texts of `results` before and behind. Neighbouring results are
    one message, and one with what the user says next: many templates want user and assistant in turns.
    """
    written: list[dict[str, Any]] = []
    before, behind = results
    for message in with_parsed_calls(messages):
        if message["role"] in ("tool", "function"):
            text = f"{before}{message.get('content') or ''}{behind}"
            message = {"role": result_role, "content": text, _RESULT: True}
        else:
            message = _with_written_calls(message, syntax)
        last = written[-1] if written else {}
        if last.get(_RESULT) and message["role"] == result_role:
            last["content"] += f"\n{message.get('content') or ''}"
        else:
            written.append(message)
    for message in written:
        message.pop(_RESULT, None)
    return written


def _with_written_calls(message: dict[str, Any], syntax: CallSyntax) -> dict[str, Any]:
    calls = message.pop("tool_calls", None)
    if not calls:
        return message
    texts = [
        syntax.call_text(
            call["function"]["name"], json.dumps(call["function"]["arguments"], ensure_ascii=False)
        )
        for call in calls
    ]
    text = syntax.trigger + syntax.opening + (syntax.between or "\n").join(texts) + syntax.closing
    content = message.get("content") or ""
    return {**message, "content": f"{content}\n{text}" if content else text}


def _parsed(message: Mapping[str, Any], index: int) -> dict[str, Any]:
    copy = dict(message)
    calls = copy.get("tool_calls")
    if not calls:
        copy.pop("tool_calls", None)
        return copy
    where = f"messages[{index}].tool_calls"
    copy["tool_calls"] = [_parsed_call(call, f"{where}[{number}]") for number, call in enumerate(calls)]
    copy["content"] = copy.get("content") or ""
    return copy


def _parsed_call(call: Mapping[str, Any], param: str) -> dict[str, Any]:
    if call.get("type") == "custom":
        custom = call["custom"]
        function = {"name": custom["name"], "arguments": {"input": custom["input"]}}
    else:
        raw = call["function"]
        arguments = _arguments(raw.get("arguments"), raw["name"], f"{param}.function.arguments")
        function = {"name": raw["name"], "arguments": arguments}
    return {"id": call.get("id"), "type": "function", "function": function}


def _arguments(value: Any, name: str, param: str) -> dict[str, Any]:
    what = f"{param}: the arguments of the call of '{name}'"
    try:
        parsed = json.loads(value, strict=False) if isinstance(value, str) and value.strip() else value or {}
    except (ValueError, RecursionError) as error:
        parsed = object_so_far(value)  # an answer that ended with `length` may have been cut off here
        if parsed is None:
            raise InvalidRequestError(f"{what} are not JSON: {error}", param=param) from error
    if not isinstance(parsed, dict):
        raise InvalidRequestError(f"{what} must be a JSON object, got {type(parsed).__name__}", param=param)
    if isinstance(value, str) and _SURROGATE.search(value):
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InvalidRequestError(f"{what} have half a surrogate pair", param=param) from error
    return parsed
