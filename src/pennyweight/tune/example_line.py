"""One line of a training file becomes an example, read by the same code as the body of a request.

The shapes are OpenAI's (https://platform.openai.com/docs/guides/supervised-fine-tuning and
.../direct-preference-optimization); of the two names its documents give the answers of a preference, both
are taken. InvalidRequestError names the place in the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.chat_history import check_history
from pennyweight.answers.chat_messages import read_message
from pennyweight.answers.conversation import Conversation
from pennyweight.answers.fields import Flag, ParameterError, missing, unknown, wrong_type
from pennyweight.answers.tool_fields import read_functions, read_tools
from pennyweight.tune.example import Example, Preference, RewardedPrompt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Message

_BODY: Final = ("messages", "tools", "functions", "parallel_tool_calls")
_PREFERRED: Final = ("preferred_output", "preferred_completion")
_REJECTED: Final = ("non_preferred_output", "non_preferred_completion")


def read_example(value: Mapping[str, Any], line: int, ignored: set[str]) -> Example:
    """A line of supervised tuning; keys that nobody reads go to `ignored`."""
    _refuse_unknown(value, _BODY)
    messages = _messages(value.get("messages"), "messages")
    weights = [_weight(message, f"messages[{index}]") for index, message in enumerate(messages)]
    read = _read_all([_without_weight(message) for message in messages], "messages", ignored)
    if read[-1].role != "assistant":
        message = f"the last message is of role '{read[-1].role}'; it must be the assistant's, to be learnt."
        raise ParameterError(message, param=f"messages[{len(read) - 1}].role", code="invalid_value")
    answers = [index for index, message in enumerate(read) if message.role == "assistant"]
    trained = tuple(index for index in answers if weights[index] != 0)
    if not trained:
        message = "every message of the assistant has weight 0: nothing is to be learnt from this line."
        raise ParameterError(message, param="messages", code="invalid_value")
    check_history(read[:-1])  # the calls of the last answer have no results yet
    return Example(line=line, conversation=_conversation(value, read, "", ignored), trained=trained)


def read_preference(value: Mapping[str, Any], line: int, ignored: set[str]) -> Preference:
    """A line of preference tuning."""
    _refuse_unknown(value, ("input", *_PREFERRED, *_REJECTED))
    told = value.get("input")
    if told is None:
        raise missing("input")
    if not isinstance(told, dict):
        raise wrong_type("input", "an object", told)
    _refuse_unknown(told, _BODY, "input.")
    read = _read_all(_messages(told.get("messages"), "input.messages"), "input.messages", ignored)
    if read[-1].role == "assistant":
        message = "the input ends with a message of the assistant; there is nothing to answer."
        raise ParameterError(message, param=f"input.messages[{len(read) - 1}].role", code="invalid_value")
    check_history(read)
    return Preference(
        line=line,
        conversation=_conversation(told, read, "input.", ignored),
        preferred=_answer(value, _PREFERRED, ignored),
        rejected=_answer(value, _REJECTED, ignored),
    )


def read_rewarded_prompt(value: Mapping[str, Any], line: int, ignored: set[str]) -> RewardedPrompt:
    """A line of tuning by reward; keys beside `messages` are for the program that judges."""
    if "answer" in value:
        text = "'answer' is what the reward is told of the model's answer; give this key another name."
        raise ParameterError(text, param="answer", code="invalid_value")
    for key in _BODY[1:]:
        if value.get(key) is not None:
            text = f"'{key}' is not supported by grpo: answers are judged as text; leave it out."
            raise ParameterError(text, param=key, code="unsupported_value")
    read = _read_all(_messages(value.get("messages"), "messages"), "messages", ignored)
    if read[-1].role != "user":
        text = f"the last message is of role '{read[-1].role}'; it must be the user's, to be answered."
        raise ParameterError(text, param=f"messages[{len(read) - 1}].role", code="invalid_value")
    check_history(read)
    return RewardedPrompt(line=line, conversation=Conversation(messages=tuple(read)), told=value)


def _refuse_unknown(value: Mapping[str, Any], known: tuple[str, ...], prefix: str = "") -> None:
    for key in value:
        if key not in known:
            raise unknown(f"{prefix}{key}", [f"{prefix}{name}" for name in known])


def _messages(value: object, param: str) -> list[Any]:
    if value is None:
        raise missing(param)
    if not isinstance(value, list):
        raise wrong_type(param, "an array of objects", value)
    if not value:
        raise ParameterError(f"'{param}' is empty.", param=param, code="empty_array")
    return value


def _read_all(messages: list[Any], param: str, ignored: set[str]) -> list[Message]:
    return [read_message(message, f"{param}[{index}]", ignored) for index, message in enumerate(messages)]


def _weight(message: object, param: str) -> int:
    weight = message.get("weight") if isinstance(message, dict) else None
    if weight is None:
        return 1
    if isinstance(message, dict) and message.get("role") != "assistant":
        text = f"'{param}.weight' is the assistant's alone: nothing else is learnt."
        raise ParameterError(text, param=f"{param}.weight", code="invalid_value")
    if isinstance(weight, bool) or weight not in (0, 1):
        text = f"'{param}.weight' is {weight!r:.40}; it may be 0 (not learnt) or 1."
        raise ParameterError(text, param=f"{param}.weight", code="invalid_value")
    return int(weight)


def _without_weight(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {key: value for key, value in message.items() if key != "weight"}


def _conversation(
    value: Mapping[str, Any], messages: list[Message], prefix: str, ignored: set[str]
) -> Conversation:
    if value.get("tools") is not None and value.get("functions") is not None:
        text = f"'{prefix}functions' is the older form of '{prefix}tools'; give one of them."
        raise ParameterError(text, param=f"{prefix}functions", code="invalid_parameter_combination")
    older = value.get("functions") is not None
    box = read_functions(value["functions"], ignored=ignored) if older else None
    tools = read_tools(value.get("tools"), ignored=ignored) if box is None else box
    parallel = value.get("parallel_tool_calls")
    if parallel is not None:
        Flag().read(parallel, f"{prefix}parallel_tool_calls")
    return Conversation(messages=tuple(messages), tools=tools.tools, parallel_tool_calls=parallel)


def _answer(value: Mapping[str, Any], names: tuple[str, str], ignored: set[str]) -> Message:
    given = [name for name in names if value.get(name) is not None]
    if not given:
        raise missing(names[0])
    if len(given) > 1:
        text = f"'{given[1]}' is another name of '{given[0]}'; give one of them."
        raise ParameterError(text, param=given[1], code="invalid_parameter_combination")
    (name,) = given
    outputs = _messages(value[name], name)
    if len(outputs) != 1:
        text = f"'{name}' has {len(outputs)} messages; it has one, the assistant's."
        raise ParameterError(text, param=name, code="invalid_value")
    message = read_message(_without_weight(outputs[0]), f"{name}[0]", ignored)
    if message.role != "assistant":
        text = f"'{name}[0].role' is '{message.role}'; the answer is the assistant's."
        raise ParameterError(text, param=f"{name}[0].role", code="invalid_value")
    return message
