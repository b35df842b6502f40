"""The `response` object: what was asked, repeated, beside the output so far.

Every field the official client's types require is there, with null where there is nothing to say
(https://platform.openai.com/docs/api-reference/responses/object).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pennyweight.answers.options import JsonObject, JsonSchema
from pennyweight.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Conversation, Tool
    from pennyweight.answers.events import Finished
    from pennyweight.answers.options import ResponseFormat
    from pennyweight.answers.responses_schema import ResponseRequest
    from pennyweight.core import Usage
    from pennyweight.errors import PennyweightError

INCOMPLETE_REASONS: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""What a response that is not complete says of how its answer ended."""
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseIdentity:
    """What all parts of one answer have in common; `created_at` in seconds since 1970."""

    model: str
    id: str = field(default_factory=lambda: f"resp_{uuid4().hex}")
    created_at: int = field(default_factory=lambda: int(time.time()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseState:
    """How far the answer is. `finished` is how it ended, `error` what ended it as failed."""

    status: ResponseStatus
    output: list[dict[str, Any]] = field(default_factory=list)
    finished: Finished | None = None
    error: PennyweightError | None = None


def failure_code(error: PennyweightError) -> str:
    """Of the codes of OpenAI's response errors, the one that fits."""
    if isinstance(error, InvalidRequestError | NotFoundError):
        return "invalid_prompt"
    return "rate_limit_exceeded" if error.status == 429 else "server_error"


def response_object(
    identity: ResponseIdentity, request: ResponseRequest, state: ResponseState
) -> dict[str, Any]:
    """One snapshot."""
    finished = state.finished
    reason = None if finished is None else INCOMPLETE_REASONS.get(finished.reason)
    error = state.error
    told = None if error is None else {"code": failure_code(error), "message": error.message}
    return {
        "id": identity.id,
        "object": "response",
        "created_at": identity.created_at,
        "completed_at": int(time.time()) if state.status == "completed" else None,
        "status": state.status,
        "error": told,
        "incomplete_details": None if reason is None else {"reason": reason},
        "model": identity.model,
        "output": state.output,
        "usage": None if finished is None else response_usage(finished.usage),
        **_repeated(request),
    }


def response_usage(usage: Usage) -> dict[str, Any]:
    """Counts of what this engine does not do are zero, not absent."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _repeated(request: ResponseRequest) -> dict[str, Any]:
    given, sampling = request.given, request.options.sampling
    conversation, state = request.conversation, request.state
    continued = state.conversation_id
    return {
        "instructions": given.get("instructions"),
        "metadata": given.get("metadata", {}),
        "parallel_tool_calls": conversation.parallel_tool_calls is not False,
        "temperature": sampling.temperature,
        "top_p": given.get("top_p", 1.0),
        "top_logprobs": sampling.top_logprobs or 0,
        "max_output_tokens": sampling.max_tokens,
        "max_tool_calls": given.get("max_tool_calls"),
        "tool_choice": _choice(conversation),
        "tools": [*request.hosted, *(_tool(tool) for tool in conversation.tools)],
        "text": {"format": _format(request.options.response_format), "verbosity": "medium"},
        "reasoning": {"effort": None, "summary": None},
        "truncation": request.options.truncation,
        "background": state.background,
        "store": state.store,
        "previous_response_id": state.previous_response_id,
        "conversation": None if continued is None else {"id": continued},
        "prompt": None,
        "service_tier": "default",
        "prompt_cache_key": given.get("prompt_cache_key"),
        "prompt_cache_retention": given.get("prompt_cache_retention"),
        "safety_identifier": given.get("safety_identifier"),
        "user": given.get("user"),
    }


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.kind == "function":
        return {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": tool.strict,
        }
    form: dict[str, Any] = {"type": "text"}
    if tool.syntax != "text":
        form = {"type": "grammar", "syntax": tool.syntax, "definition": tool.definition}
    return {"type": "custom", "name": tool.name, "description": tool.description, "format": form}


def _choice(conversation: Conversation) -> str | dict[str, Any]:
    choice = conversation.tool_choice
    if choice.names is None:
        return choice.mode
    kinds = {tool.name: tool.kind for tool in conversation.tools}
    named = [{"type": kinds[name], "name": name} for name in sorted(choice.names)]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _format(form: ResponseFormat) -> dict[str, Any]:
    if isinstance(form, JsonObject):
        return {"type": "json_object"}
    if isinstance(form, JsonSchema):
        return {
            "type": "json_schema",
            "name": form.name,
            "schema": form.schema,
            "strict": form.strict,
            "description": form.description,
        }
    return {"type": "text"}
