"""The body of `POST /v1/responses` becomes a `ResponseRequest`; `responses_fields` lists its fields."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.conversation import Conversation
from pennyweight.answers.fields import ParameterError, wrong_type
from pennyweight.answers.options import Options
from pennyweight.answers.responses_fields import INPUT_TOKENS_FIELDS, RESPONSES_FIELDS
from pennyweight.answers.responses_input import read_input
from pennyweight.answers.responses_settings import (
    check_reasoning,
    check_stream_options,
    read_text_format,
    wants_logprobs,
)
from pennyweight.answers.responses_state import read_state, require_statelessness
from pennyweight.answers.sampling_fields import options_from_values
from pennyweight.answers.strict_parameters import closed_parameters
from pennyweight.answers.tool_choice import read_tool_choice
from pennyweight.answers.tool_fields import (
    MAX_TOOLS,
    is_hosted,
    read_custom,
    read_function,
    toolbox,
    unknown_tool_type,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Tool
    from pennyweight.answers.responses_state import AskedState, Past
    from pennyweight.answers.tool_fields import Toolbox


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """A Responses body understood. `given` are the fields as they were sent, for what the answer repeats.

    `ignored` names what was dropped from nested objects; `hosted` are tools as they came that run here.
    """

    model: str
    conversation: Conversation
    options: Options
    state: AskedState
    stream: bool
    given: Mapping[str, Any]
    include_cost: bool
    ignored: tuple[str, ...]
    hosted: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCount:
    """What is to be counted; `model` None: whichever is served."""

    model: str | None
    conversation: Conversation
    options: Options = field(default_factory=Options)
    ignored: tuple[str, ...] = ()


def parse_response(body: Mapping[str, object], past: Past | None = None) -> ResponseRequest:
    """Raises ParameterError naming the field that is missing, unknown, malformed or not supported.

    `past` None: nothing is kept, and the body stands alone.
    """
    values = RESPONSES_FIELDS.read(body)
    ignored: set[str] = set()
    check_reasoning(values.get("reasoning"), ignored)
    state = read_state(values)
    if past is None:
        require_statelessness(state)
        state = replace(state, store=False)
    stream = values.get("stream", False)
    check_stream_options(values.get("stream_options"), stream=stream)
    return ResponseRequest(
        model=values["model"],
        conversation=_conversation(values, ignored, past),
        options=_options(values, ignored),
        state=state,
        stream=stream,
        given=values,
        include_cost=values.get("usage", False),
        ignored=tuple(sorted(ignored)),
    )


def parse_input_count(body: Mapping[str, object], past: Past | None = None) -> InputCount:
    """The body of `POST /v1/responses/input_tokens`, read as `parse_response` reads its own."""
    values = INPUT_TOKENS_FIELDS.read(body)
    ignored: set[str] = set()
    check_reasoning(values.get("reasoning"), ignored)
    return InputCount(
        model=values.get("model"),
        conversation=_conversation(values, ignored, past),
        options=Options(
            response_format=read_text_format(values.get("text"), ignored),
            truncation=values.get("truncation", "disabled"),
        ),
        ignored=tuple(sorted(ignored)),
    )


def _conversation(values: Mapping[str, Any], ignored: set[str], past: Past | None) -> Conversation:
    tools = read_flat_tools(values.get("tools"), ignored=ignored)
    instructions = values.get("instructions")
    return Conversation(
        messages=read_input(
            values["input"],
            instructions=instructions,
            ignored=ignored,
            earlier=() if past is None else past.items,
        ),
        tools=tools.tools,
        tool_choice=read_tool_choice(values.get("tool_choice"), tools),
        parallel_tool_calls=values.get("parallel_tool_calls"),
    )


def read_flat_tools(value: object, *, ignored: set[str]) -> Toolbox:
    """Tools as Responses lays them out: type, name and everything else side by side."""
    if value is None:
        return toolbox((), set(), ignored=ignored)
    if not isinstance(value, list | tuple):
        raise wrong_type("tools", "an array of objects", value)
    tools: list[Tool] = []
    hosted = set()
    if len(value) > MAX_TOOLS:
        message = f"'tools' has {len(value)} elements; it may have {MAX_TOOLS}."
        raise ParameterError(message, param="tools", code="array_above_max_length")
    for index, item in enumerate(value):
        param = f"tools[{index}]"
        if not isinstance(item, dict):
            raise wrong_type(param, "an object", item)
        kind = item.get("type")
        if is_hosted(kind):
            hosted.add(str(kind))
        elif kind == "function":
            tools.append(_strict_unless_told(read_function(item, param, ignored, path="tools[]"), item))
        elif kind == "custom":
            tools.append(read_custom(item, param, ignored, path="tools[]"))
        else:
            raise unknown_tool_type(kind, f"{param}.type")
    return toolbox(tools, hosted, ignored=ignored)


def _strict_unless_told(tool: Tool, item: Mapping[str, object]) -> Tool:
    """Without `strict` a function is strict where its schema can be closed, as OpenAI documents it."""
    if item.get("strict") is not None or tool.parameters is None:
        return tool
    closed = closed_parameters(tool.parameters)
    if closed is None:
        return tool
    return replace(tool, parameters=closed, strict=True, as_given=tool.parameters)


def _options(values: Mapping[str, Any], ignored: set[str]) -> Options:
    sampling = {name: value for name, value in values.items() if name not in ("include", "top_logprobs")}
    if "max_output_tokens" in values:
        sampling["max_tokens"] = values["max_output_tokens"]
    if wants_logprobs(values, ignored):
        sampling |= {"logprobs": True, "top_logprobs": values.get("top_logprobs", 0)}
    return replace(
        options_from_values(sampling),
        response_format=read_text_format(values.get("text"), ignored),
        chat_template_kwargs=values.get("chat_template_kwargs", {}),
        truncation=values.get("truncation", "disabled"),
    )
