"""The body of `POST /v1/chat/completions` becomes a `ChatRequest`: fields are honoured or refused by name.

`chat_fields` says which; `null` is absent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_fields import CHAT_FIELDS
from pennyweight.answers.chat_messages import read_messages
from pennyweight.answers.chat_response import ChatShape
from pennyweight.answers.field_tables import read_include_usage
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.format_fields import read_prediction, read_response_format
from pennyweight.answers.sampling_fields import options_from_values
from pennyweight.answers.tool_choice import read_function_call_choice, read_tool_choice
from pennyweight.answers.tool_fields import read_functions, read_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Conversation
    from pennyweight.answers.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat body understood. `ignored` names what was dropped from nested objects."""

    model: str
    conversation: Conversation
    options: Options
    stream: bool
    shape: ChatShape
    include_cost: bool
    ignored: tuple[str, ...]


def parse_chat(body: Mapping[str, object], *, stores: bool = False) -> ChatRequest:
    """Raises ParameterError naming the field that is missing, unknown, malformed or not supported.

    `stores`: whoever asks keeps the answer if the body wants it.
    """
    values = CHAT_FIELDS.read(body)
    ignored: set[str] = set()
    conversation = _with_tools(read_messages(values["messages"], ignored=ignored), values, ignored)
    options = replace(
        options_from_values(values),
        response_format=read_response_format(values.get("response_format"), ignored=ignored),
        prediction=read_prediction(values.get("prediction"), ignored=ignored),
        chat_template_kwargs=values.get("chat_template_kwargs", {}),
    )
    stream, include_cost = values.get("stream", False), values.get("usage", False)
    asked_usage = read_include_usage(values.get("stream_options"), stream=stream)
    return ChatRequest(
        model=values["model"],
        conversation=conversation,
        options=options,
        stream=stream,
        shape=ChatShape(
            num_choices=options.num_choices,
            logprobs=options.sampling.top_logprobs is not None,
            include_usage=asked_usage or (stream and include_cost),
            call_style="function_call" if "functions" in values else "tool_calls",
            store=stores and values.get("store", False),
        ),
        include_cost=include_cost,
        ignored=tuple(sorted(ignored)),
    )


def chat_schema() -> dict[str, Any]:
    """The body as JSON Schema, for the HTTP interface's own description."""
    return CHAT_FIELDS.schema


def _with_tools(conversation: Conversation, values: Mapping[str, Any], ignored: set[str]) -> Conversation:
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if old in values and new in values:
            message = f"'{old}' is the older name of '{new}'; send one of them."
            raise ParameterError(message, param=old, code="invalid_parameter_combination")
    if "functions" in values or "function_call" in values:
        tools = read_functions(values.get("functions"), ignored=ignored)
        choice = read_function_call_choice(values.get("function_call"), tools)
        # The older form of an answer has room for one call.
        return replace(conversation, tools=tools.tools, tool_choice=choice, parallel_tool_calls=False)
    tools = read_tools(values.get("tools"), ignored=ignored)
    choice = read_tool_choice(values.get("tool_choice"), tools)
    parallel = values.get("parallel_tool_calls")
    return replace(conversation, tools=tools.tools, tool_choice=choice, parallel_tool_calls=parallel)
