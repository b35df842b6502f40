"""The Jinja environment of chat templates: bounded, without a way out, and following who wrote what.

Semantics are those of `transformers.apply_chat_template` (trimmed blocks, loop controls, `tojson` without
HTML escapes, `raise_exception`, `strftime_now`, a tolerated `generation` block). Beneath, every operation
that makes text passes through here, so that marks (see `marked`) survive it and its cost is paid (see
`budget`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import loopcontrols
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from pennyweight.text.budget import MAX_WIDTH, Budget, BudgetExceededError
from pennyweight.text.instrument import Generation, Instrument
from pennyweight.text.marked import MarkedText, is_tainted, spread_mark
from pennyweight.text.template_filters import TemplateFilters, paid_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import nodes

_COMPILER_ARGUMENTS = ("_loop_vars", "_block_vars")  # Jinja passes them with every call
_CALL_STEPS = 40  # a call costs as much as this many turns of an empty loop
_MAX_EXPONENT = 64
_MAX_LAYOUT_CHARS = 256


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Of one rendering at a time: it carries the budget."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, budget: Budget | None = None, *, clock: Callable[[], datetime] = datetime.now) -> None:
        # Unoptimised: constant folding would run hostile constants outside of any budget.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[Generation, loopcontrols]
        )
        self.budget = budget or Budget()
        self._clock = clock
        self._own = TemplateFilters(self, self.budget)
        self.finalize = self._own.text_of
        self.concat = self._own.concat  # type: ignore[method-assign]
        self.filters = self._own.table()
        self.tests = {name: paid_test(self.budget, test) for name, test in TESTS.items()}
        self.globals = {"range": self.globals["range"], "dict": dict, "namespace": _PublicNamespace}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": self._strftime_now}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = Instrument().visit(super()._parse(source, name, filename))
        return tree

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in ("encode", "maketrans"):
            return False  # bytes carry no marks
        return super().is_safe_attribute(obj, attr, value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """The parameters are named as in Jinja: a template's own keyword arguments must not collide."""
        __self.budget.spend(steps=_CALL_STEPS)
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps `format`
        owner = getattr(method, "__self__", None)
        if isinstance(__obj, Macro | LoopContext) or not isinstance(owner, str):
            return super().call(__context, __obj, *args, **kwargs)
        values = [*args, *(value for key, value in kwargs.items() if key not in _COMPILER_ARGUMENTS)]
        __self._pay_for_method(method.__name__, owner, values)
        if not isinstance(owner, MarkedText) and is_tainted(values):
            # The template's own text given a user's: `join` and `replace` then keep the two apart.
            __obj = __self.getattr(MarkedText(owner, ()), method.__name__)
        result = super().call(__context, __obj, *args, **kwargs)
        exact = method.__name__ in ("join", "replace")
        return result if exact else spread_mark(result, [owner, *values])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            return self._own.percent(left, right)
        if operator == "**" and (abs(left) > MAX_WIDTH or abs(right) > _MAX_EXPONENT):
            raise BudgetExceededError(f"it computes {left} ** {right}")
        if operator == "*":
            self._pay_for_product(left, right)
        if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            self._spend_on_copy(left, len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def _pay_for_product(self, left: Any, right: Any) -> None:
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(count, int):
                self._spend_on_copy(sequence, len(sequence) * max(count, 0))
        if isinstance(left, int) and isinstance(right, int) and abs(left * right) > 1 << 64:
            raise BudgetExceededError("it computes numbers beyond 64 bits")

    def _pay_for_method(self, name: str, owner: str, values: list[Any]) -> None:
        """Pay for a method of a text; some give much more than they get."""
        self.budget.spend(chars=len(owner))
        if any(isinstance(value, int) and abs(value) > MAX_WIDTH for value in values):
            raise BudgetExceededError(f"it calls {name} with a number beyond {MAX_WIDTH}")
        if name in ("format", "format_map"):
            self._own.check_format(owner, values)
        elif name == "replace" and len(values) > 1 and all(isinstance(value, str) for value in values[:2]):
            self.budget.spend(chars=owner.count(values[0]) * len(values[1]))
        elif name == "join" and values and isinstance(values[0], str | list | tuple | Mapping):
            self.budget.spend(chars=self.budget.weigh(values[0]) + len(owner) * len(values[0]))

    def _spend_on_copy(self, sequence: Any, length: int) -> None:
        """An item of a list is dearer than a character of a text."""
        self.budget.spend(steps=1 if isinstance(sequence, str) else length // 4, chars=length)

    def _strftime_now(self, layout: str) -> str:
        if len(layout) > _MAX_LAYOUT_CHARS or re.search(r"%[-_0^#+]*\d", layout):
            raise BudgetExceededError("it formats the time with a width")
        return spread_mark(self._clock().strftime(str.__str__(layout)), [layout])


class _PublicNamespace(Namespace):
    """Jinja's namespace without private names."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # Without a named parameter: "self" may be one of the names.
        Namespace.__init__(
            args[0], {_public(name): value for name, value in dict(*args[1:], **kwargs).items()}
        )

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(_public(name), value)


def _public(name: str) -> str:
    if name.startswith("_"):
        raise SecurityError(f"a template may not store {name!r} on a namespace")
    return name


def _raise_exception(message: str) -> None:
    raise TemplateError(str(message))
