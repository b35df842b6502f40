"""The tools of assistants and runs: functions that people run, and `file_search`, which runs here.

Kept and told again as they came. `code_interpreter` is refused by name: no program is run here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.fields import Integer, Number, OneOf, ParameterError, missing, unknown, wrong_type
from pennyweight.answers.tool_choice import read_tool_choice
from pennyweight.answers.tool_fields import CHOICE_SCHEMA, MAX_TOOLS, read_tools
from pennyweight.history.assistants.plain_json import check_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.answers.fields import Kind

FILE_SEARCH: Final = "file_search"
MAX_RESULTS: Final = Integer(low=1, high=50)
_RANKING: Final[dict[str, Kind]] = {
    "ranker": OneOf(("auto", "default_2024_08_21")),
    "score_threshold": Number(low=0, high=1),
}


@dataclass(frozen=True, slots=True)
class AssistantTools:
    """The tools as they came, after a look at each."""

    def read(self, value: object, param: str) -> list[dict[str, Any]]:
        if not isinstance(value, list | tuple):
            raise wrong_type(param, "an array of objects", value)
        if len(value) > MAX_TOOLS:
            message = f"'{param}' has {len(value)} elements; it may have {MAX_TOOLS}."
            raise ParameterError(message, param=param, code="array_above_max_length")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise wrong_type(f"{param}[{index}]", "an object", item)
            _check_tool(item, f"{param}[{index}]")
        read_tools(functions_of(value), ignored=set())
        check_plain(value, param)
        return list(value)

    @property
    def schema(self) -> dict[str, Any]:
        kinds = {"enum": ["function", FILE_SEARCH]}
        item = {"type": "object", "required": ["type"], "properties": {"type": kinds}}
        return {"type": "array", "maxItems": MAX_TOOLS, "items": item}


@dataclass(frozen=True, slots=True)
class RunToolChoice:
    """`none`, `auto`, `required`, a function by name, or `file_search`; checked against the tools later."""

    def read(self, value: object, param: str) -> Any:
        if isinstance(value, dict) and value.get("type") == "code_interpreter":
            raise no_code_interpreter(f"{param}.type")
        if not isinstance(value, str | dict):
            raise wrong_type(param, "a string or an object", value)
        check_plain(value, param)
        return value

    @property
    def schema(self) -> dict[str, Any]:
        return CHOICE_SCHEMA


def functions_of(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tools a model may call."""
    return [tool for tool in tools if tool["type"] == "function"]


def check_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> None:
    """Raises ParameterError if `choice` demands what is not among `tools`."""
    if _is_search(choice) and not _have_search(tools):
        message = "'tool_choice' demands 'file_search', which is not among the run's tools."
        raise ParameterError(message, param="tool_choice", code="invalid_value")
    read_tool_choice(function_choice(choice, tools), read_tools(functions_of(tools), ignored=set()))


def function_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """What `choice` leaves to the model: a search is done in any case, and so a demand for one is met."""
    if _is_search(choice):
        return "auto"
    if choice == "required" and _have_search(tools) and not functions_of(tools):
        return "auto"
    return choice


def no_code_interpreter(param: str) -> ParameterError:
    """Wherever it is asked for."""
    message = (
        f"'{param}' is 'code_interpreter', which does not exist here: this server runs no programs. Offer a "
        "function that runs them where you want it, or leave the tool out."
    )
    return ParameterError(message, param=param, code="unsupported_value")


def _is_search(choice: Any) -> bool:
    return isinstance(choice, dict) and choice.get("type") == FILE_SEARCH


def _have_search(tools: Sequence[Mapping[str, Any]]) -> bool:
    return any(tool["type"] == FILE_SEARCH for tool in tools)


def _check_tool(tool: Mapping[str, object], param: str) -> None:
    kind = tool.get("type")
    if kind is None:
        raise missing(f"{param}.type")
    if kind == "code_interpreter":
        raise no_code_interpreter(f"{param}.type")
    if kind == FILE_SEARCH:
        _check_search(tool.get(FILE_SEARCH), f"{param}.{FILE_SEARCH}")
    elif kind != "function":
        message = f"'{param}.type' is {kind!r:.80}; it may be 'function' or 'file_search'."
        raise ParameterError(message, param=f"{param}.type", code="invalid_value")


def _check_search(value: object, param: str) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for name, item in value.items():
        if name not in ("max_num_results", "ranking_options"):
            raise unknown(f"{param}.{name}", ("max_num_results", "ranking_options"))
        if name == "max_num_results" and item is not None:
            MAX_RESULTS.read(item, f"{param}.{name}")
    ranking = value.get("ranking_options")
    if ranking is None:
        return
    if not isinstance(ranking, dict):
        raise wrong_type(f"{param}.ranking_options", "an object", ranking)
    for name, item in ranking.items():
        place = f"{param}.ranking_options.{name}"
        if name not in _RANKING:
            raise unknown(place, _RANKING)
        if item is not None:
            _RANKING[name].read(item, place)
