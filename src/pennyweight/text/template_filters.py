"""The filters of chat templates: Jinja's, paid for and keeping marks, and some defined anew.

A filter that is not here is refused when the template is read; what is missing (HTML helpers, word wrapping,
random choice) no chat template needs, and some of it would be work without bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from jinja2 import Environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from pennyweight.text.budget import MAX_WIDTH, BudgetExceededError
from pennyweight.text.instrument import JOINED, METERED, READ, READ_DEEPLY
from pennyweight.text.marked import MarkedText, SafeText, concat, marks_of, spread_mark, written

if TYPE_CHECKING:
    from pennyweight.text.budget import Budget

_OF_JINJA = (
    "abs",
    "attr",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "last",
    "length",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "sum",
    "trim",
    "unique",
    "upper",
)
_ORDERING = frozenset({"dictsort", "groupby", "max", "min", "sort", "unique"})
_SELECTING = frozenset(
    {"attr", "d", "default", "first", "last", "max", "min"}
)  # results are among the inputs
_MAX_JSON_INDENT = 16


class TemplateFilters:
    """The filters of one rendering, all on its budget."""

    def __init__(self, environment: Environment, budget: Budget) -> None:
        self._environment = environment
        self._budget = budget

    def table(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        jinja = {name: self._paid(name, FILTERS[name]) for name in _OF_JINJA}
        hooks: dict[str, Callable[..., Any]] = {
            METERED: self._budget.metered,
            READ: self._budget.read,
            READ_DEEPLY: self._budget.read_deeply,
            JOINED: self.joined,
        }
        own: dict[str, Callable[..., Any]] = {
            "join": self.join,
            "replace": self.replace,
            "safe": self.safe,
            "string": self.text_of,
        }
        own |= {"list": self.listed, "tojson": self.tojson, "format": self.format, "indent": self.indent}
        return {**jinja, **hooks, **own}

    def text_of(self, value: Any) -> str:
        """`value` as output shows it. Whatever is not plain data may contain a user's text."""
        if not isinstance(value, str):
            self._budget.spend(chars=self._budget.weigh(value))
        return written(value)

    def concat(self, pieces: Iterable[str]) -> str:
        text = concat(pieces)
        self._budget.spend(chars=len(text))
        return text

    def joined(self, values: Iterable[Any]) -> str:
        return self.concat([self.text_of(value) for value in values])

    def join(self, values: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
        items = list(self._budget.metered(values))
        if attribute is not None:
            items = list(map(make_attrgetter(self._environment, attribute), items))
        texts = [self.text_of(item) for item in items]
        separator = self.text_of(d)
        self._budget.spend(chars=sum(map(len, texts)) + len(texts) * len(separator))
        return MarkedText(separator, marks_of(separator)).join(texts)

    def replace(self, s: Any, old: Any, new: Any, count: int = -1) -> str:
        text, before, after = self.text_of(s), self.text_of(old), self.text_of(new)
        self._budget.spend(chars=len(text) + text.count(before) * len(after))
        return MarkedText(text, marks_of(text)).replace(before, after, -1 if count is None else count)

    def safe(self, value: Any) -> str:
        text = self.text_of(value)
        return SafeText(text, marks_of(text))

    def listed(self, value: Iterable[Any]) -> list[Any]:
        return [*self._budget.metered(value)]

    def format(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return self.percent(self.text_of(value), kwargs or args)

    def percent(self, template: str, values: Any) -> str:
        """`template % values`, paid for."""
        self.check_format(template, values)
        sources = values if isinstance(values, tuple) else (values,)
        return spread_mark(str.__mod__(template, values), [template, *sources])

    def check_format(self, template: str, values: Any) -> None:
        """Pay for formatting; fields may be wide and may repeat their value."""
        if any(len(width) > 4 for width in re.findall(r"\d+", template)) or "*" in template:
            raise BudgetExceededError(f"it formats with a width beyond {MAX_WIDTH}")
        fields = template.count("%") + template.count("{")
        self._budget.spend(chars=len(template) + fields * (MAX_WIDTH + self._budget.weigh(values)))

    def indent(self, s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text = self.text_of(s)
        if isinstance(width, int) and width > MAX_WIDTH:
            raise BudgetExceededError(f"it indents by {width}; the limit is {MAX_WIDTH}")
        pad = width if isinstance(width, str) else " " * width
        self._budget.spend(chars=len(text) + (text.count("\n") + 1) * len(pad))
        return spread_mark(str(FILTERS["indent"](str.__str__(text), pad, first, blank)), [text, pad])

    def tojson(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """Without the HTML escapes of Jinja's own."""
        if indent is not None and indent > _MAX_JSON_INDENT:
            raise BudgetExceededError(f"it writes JSON indented by {indent}; the limit is {_MAX_JSON_INDENT}")
        self._budget.spend(chars=6 * self._budget.weigh(value))
        text = json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return spread_mark(text, [value])

    def _paid(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Jinja's filter, which costs a step and gives text with the marks of what went in."""

        @wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            skipped = sum(isinstance(arg, Environment | Context | EvalContext) for arg in args)
            values = [*args[skipped:], *kwargs.values()]
            if any(isinstance(value, int) and abs(value) > MAX_WIDTH for value in values[1:]):
                raise BudgetExceededError(f"it calls {name} with a number beyond {MAX_WIDTH}")
            if name in _ORDERING and values:
                args = (*args[:skipped], self._ordered(values[0]), *args[skipped + 1 :])
            self._budget.spend(chars=len(values[0]) if values and isinstance(values[0], str) else 0)
            result = function(*args, **kwargs)
            return result if name in _SELECTING else spread_mark(result, values)

        return paid

    def _ordered(self, values: Any) -> Any:
        """What a filter is about to compare with each other, paid for."""
        items = values if isinstance(values, Mapping) else self.listed(values)
        self._budget.spend(steps=len(items), chars=4 * self._budget.weigh(items))
        return items


def paid_test(budget: Budget, function: Any) -> Callable[..., Any]:
    """A test (`is ...`) that pays for what it compares with."""

    @wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        budget.spend(chars=sum(budget.weigh(value) for value in args[1:]))
        return function(*args, **kwargs)

    return paid
