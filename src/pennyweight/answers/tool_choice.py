"""`tool_choice`, and the older `function_call`, against the tools there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.conversation import ToolChoice
from pennyweight.answers.fields import ParameterError, missing, wrong_type
from pennyweight.answers.tool_fields import is_hosted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.tool_fields import Toolbox


def read_tool_choice(value: object, toolbox: Toolbox, *, param: str = "tool_choice") -> ToolChoice:
    """Raises ParameterError where the choice demands what is not there. None: `auto`.

    Names of tools are read nested (chat completions) and flat (the Responses interface).
    """
    if value is None or value in ("auto", "none"):
        return ToolChoice(mode="none" if value == "none" else "auto")
    if value == "required":
        _require_tools(toolbox, param)
        return ToolChoice(mode="required")
    if not isinstance(value, dict):
        raise _unknown_choice(value, param)
    kind = value.get("type")
    if kind in ("function", "custom"):
        name = _known_name(value, toolbox, param)
        return ToolChoice(mode="required", names=frozenset({name}), once=True)
    if kind == "allowed_tools":
        nested = value.get("allowed_tools")
        place = param if nested is None else f"{param}.allowed_tools"
        return _allowed(value if nested is None else nested, toolbox, place)
    if is_hosted(kind):
        message = f"'{param}' demands '{kind}', a tool that OpenAI runs itself and that does not exist here."
        raise ParameterError(message, param=param, code="unsupported_value")
    raise _unknown_choice(kind, f"{param}.type")


def read_function_call_choice(value: object, toolbox: Toolbox) -> ToolChoice:
    """The older `function_call`: "none", "auto" or `{"name"}`."""
    if isinstance(value, dict):
        name = _known_name({"name": value.get("name")}, toolbox, "function_call")
        return ToolChoice(mode="required", names=frozenset({name}), once=True)
    if value is not None and value not in ("none", "auto"):
        raise _unknown_choice(value, "function_call")
    return read_tool_choice(value, toolbox, param="function_call")


def _allowed(value: object, toolbox: Toolbox, param: str) -> ToolChoice:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    mode, tools = value.get("mode"), value.get("tools")
    if mode not in ("auto", "required"):
        message = f"'{param}.mode' is {mode!r}; it may be 'auto' or 'required'."
        raise ParameterError(message, param=f"{param}.mode", code="invalid_value")
    if not isinstance(tools, list):
        raise wrong_type(f"{param}.tools", "an array of objects", tools)
    names = set()
    for index, tool in enumerate(tools):
        place = f"{param}.tools[{index}]"
        if not isinstance(tool, dict):
            raise wrong_type(place, "an object", tool)
        if not is_hosted(tool.get("type")):
            names.add(_known_name(tool, toolbox, place))
    if not names and mode == "required":
        message = f"'{param}.tools' allows no tool that runs here, and the mode demands a call."
        raise ParameterError(message, param=f"{param}.tools", code="unsupported_value")
    if not names:
        return ToolChoice(mode="none")
    return ToolChoice(mode="required" if mode == "required" else "auto", names=frozenset(names))


def _known_name(value: Mapping[str, object], toolbox: Toolbox, param: str) -> str:
    inner, place = value, param
    nested = value.get(str(value.get("type")))
    if isinstance(nested, dict):
        inner, place = nested, f"{param}.{value['type']}"
    name = inner.get("name")
    if name is None:
        raise missing(f"{place}.name")
    known = [tool.name for tool in toolbox.tools]
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "the request has none"
        message = f"'{place}.name' is {name!r}, which is not among the tools: {there}."
        raise ParameterError(message, param=f"{place}.name", code="invalid_value")
    return str(name)


def _require_tools(toolbox: Toolbox, param: str) -> None:
    if toolbox.tools:
        return
    if toolbox.hosted:
        message = (
            f"'{param}' demands a call, and all tools of the request ({', '.join(sorted(toolbox.hosted))}) "
            "are ones OpenAI runs itself, which do not exist here."
        )
        raise ParameterError(message, param=param, code="unsupported_value")
    message = f"'{param}' demands a call; send 'tools' too."
    raise ParameterError(message, param=param, code="invalid_parameter_combination")


def _unknown_choice(value: object, param: str) -> ParameterError:
    if value is None:
        return missing(param)
    message = f"Invalid value for '{param}': {value!r:.80}."
    return ParameterError(message, param=param, code="invalid_value")
