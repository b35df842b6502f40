"""The Jinja environment chat templates run in: bounded, without a way out, and following who wrote what.

Semantics are those of `transformers.apply_chat_template` (trimmed blocks, loop controls, `tojson` without HTML
escapes, `raise_exception`, `strftime_now`, a tolerated `generation` block). Beneath, every operation that makes text
passes through here, so that marks (see `marked`) survive it and its cost is paid (see `budget`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import Environment, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from pennyweight.text.budget import MAX_WIDTH, Budget, BudgetExceededError
from pennyweight.text.marked import MarkedText, SafeText, concat, marks_of

_FILTERS = (
    "abs attr capitalize count d default dictsort first float format groupby indent int items join last length list "
    "lower map max min reject rejectattr replace reverse round safe select selectattr sort string sum tojson trim "
    "unique upper"
).split()
_COMPILER_ARGUMENTS = ("_loop_vars", "_block_vars")  # Jinja passes them with every call
_ORDERING = frozenset("dictsort groupby max min sort unique".split())
_CALL_STEPS = 40  # a macro call costs as much as this many turns of an empty loop
_PASS_THROUGH = frozenset("attr d default first last max min".split())  # their result is one of their inputs


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """One environment per rendering: it carries the budget."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, budget: Budget | None = None, *, clock: Callable[[], datetime] = datetime.now) -> None:
        # Unoptimised: constant folding would run hostile constants outside of any budget.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[_Generation, loopcontrols],
            finalize=self.text_of,
        )  # fmt: skip
        self.budget = budget or Budget()
        self._clock = clock
        self.concat = self._concat  # type: ignore[assignment]
        own = {"join": self._join, "replace": self._replace, "safe": self._safe, "string": self.text_of}
        own |= {"list": self._list, "tojson": self._tojson, "format": self._format, "indent": self._indent}
        self.filters = {name: self._paid(name, own.get(name, FILTERS.get(name))) for name in _FILTERS}
        self.filters |= {
            "_metered": self.budget.metered,
            "_joined": self._joined,
            "_compared": self.budget.compare,
        }
        self.tests = {name: self._paid_test(test) for name, test in self.tests.items()}
        self.globals = {"range": self.globals["range"], "dict": dict, "namespace": _SafeNamespace}
        self.globals |= {"raise_exception": _raise_exception, "strftime_now": self._strftime_now}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Instrument().visit(super()._parse(source, name, filename))
        return tree

    def text_of(self, value: Any) -> str:
        """`value` as output shows it. Whatever is not plain data may contain a user's text."""
        if isinstance(value, str):
            return value
        self.budget.spend(chars=self.budget.weigh(value))
        return str(value) if _is_scalar(value) else MarkedText(str(value))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in ("encode", "maketrans"):
            return False  # bytes carry no marks
        return super().is_safe_attribute(obj, attr, value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Names as in Jinja: a template's own keyword arguments must not collide with them."""
        __self.budget.spend(steps=_CALL_STEPS)
        if isinstance(__obj, Macro | LoopContext):
            return super().call(__context, __obj, *args, **kwargs)
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps `format`
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            __self._check_growth(method.__name__, owner, [*args, *kwargs.values()])
            if type(owner) is str and _is_tainted([*args, *kwargs.values()]):
                return __self._call_marked(owner, method.__name__, args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        __self.budget.spend(chars=len(result) if isinstance(result, str | list) else 0)
        return _spread_mark(result, [owner, *args, *kwargs.values()])

    def _call_marked(self, owner: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A method of the template's own text given a user's text: `join` and `replace` follow it exactly."""
        method = self.getattr(MarkedText(owner, ()), name)
        result = method(
            *args, **{key: value for key, value in kwargs.items() if key not in _COMPILER_ARGUMENTS}
        )
        return result if name in ("join", "replace") else _spread_mark(result, args)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > MAX_WIDTH or abs(right) > 64):
            raise BudgetExceededError(f"it computes {left} ** {right}")
        if operator == "*":
            self._check_product(left, right)
        if operator == "%" and isinstance(left, str):
            return self._format(left, right)
        if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            self._spend_on(left, len(left) + len(right))
        return super().call_binop(context, operator, left, right)

    def _spend_on(self, sequence: Any, length: int) -> None:
        """Pay for a copy; an item of a list is dearer than a character of a text."""
        self.budget.spend(steps=1 if isinstance(sequence, str) else length // 4, chars=length)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, slice) and isinstance(obj, str | list | tuple):
            self._spend_on(obj, len(obj))
        return super().getitem(obj, argument)

    def _check_product(self, left: Any, right: Any) -> None:
        for sequence, count in ((left, right), (right, left)):
            if isinstance(sequence, str | list | tuple) and isinstance(count, int):
                self._spend_on(sequence, len(sequence) * max(count, 0))
        if isinstance(left, int) and isinstance(right, int) and abs(left * right) > 1 << 64:
            raise BudgetExceededError("it computes numbers beyond 64 bits")

    def _check_growth(self, name: str, owner: str, args: list[Any]) -> None:
        """Methods whose result may be much longer than what goes in."""
        if any(isinstance(arg, int) and abs(arg) > MAX_WIDTH for arg in args):
            raise BudgetExceededError(f"it calls {name} with a number beyond {MAX_WIDTH}")
        if name in ("format", "format_map"):
            self._check_format(owner, args)
        if name == "replace" and len(args) > 1:
            self.budget.spend(chars=len(owner) + owner.count(args[0]) * len(args[1]))
        if name == "join" and args and isinstance(args[0], str | list | tuple):
            self.budget.spend(chars=self.budget.weigh(args[0]) + len(owner) * len(args[0]))
        self.budget.spend(chars=len(owner))

    def _check_format(self, template: str, values: Any) -> None:
        if any(len(width) > 4 for width in re.findall(r"\d+", template)) or "*" in template:
            raise BudgetExceededError("it formats with a width beyond 9999")
        fields = template.count("%") + template.count("{")
        self.budget.spend(chars=len(template) + fields * (MAX_WIDTH + self.budget.weigh(values)))

    def _concat(self, pieces: Iterable[str]) -> str:
        text = concat(pieces)
        self.budget.spend(chars=len(text))
        return text

    def _joined(self, values: Iterable[Any]) -> str:
        return self._concat([self.text_of(value) for value in values])

    def _join(self, values: Iterable[Any], separator: Any = "", attribute: str | int | None = None) -> str:
        get = _same if attribute is None else make_attrgetter(self, attribute)
        texts = [self.text_of(get(value)) for value in self.budget.metered(values)]
        self.budget.spend(chars=sum(map(len, texts)) + len(texts) * len(self.text_of(separator)))
        return MarkedText(self.text_of(separator), None if _is_tainted([separator]) else ()).join(texts)

    def _list(self, values: Iterable[Any]) -> list[Any]:
        return list(self.budget.metered(values))

    def _replace(self, text: Any, old: Any, new: Any, count: int = -1) -> str:
        source, target = self.text_of(text), self.text_of(new)
        self.budget.spend(chars=len(source) + source.count(str(old)) * len(target))
        marked = source if isinstance(source, MarkedText) else MarkedText(source, ())
        return marked.replace(str(old), target, count)

    def _safe(self, value: Any) -> SafeText:
        text = self.text_of(value)
        return SafeText(text, marks_of(text))

    def _format(self, template: Any, *values: Any, **named: Any) -> str:
        self._check_format(template, [values, named])
        arguments = named or (values[0] if len(values) == 1 else values)
        return _spread_mark(str.__mod__(template, arguments), [template, *values, *named.values()])

    def _indent(self, text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        source = self.text_of(text)
        pad = width if isinstance(width, str) else " " * min(width, MAX_WIDTH)
        self.budget.spend(chars=len(source) + (source.count("\n") + 1) * len(pad))
        return _spread_mark(FILTERS["indent"](str.__str__(source), width, first, blank), [text])

    def _tojson(
        self, value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
        sort_keys: bool = False,
    ) -> str:  # fmt: skip
        if isinstance(indent, int) and indent > 16:
            raise BudgetExceededError(f"it writes JSON with an indentation of {indent}")
        self.budget.spend(chars=6 * self.budget.weigh(value))
        text = json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return _spread_mark(text, [value])

    def _strftime_now(self, layout: str) -> str:
        if re.search(r"%[-_0^#+]*\d", layout) or len(layout) > 256:
            raise BudgetExceededError("it formats the time with a width")
        return self._clock().strftime(layout)

    def _paid(self, name: str, function: Any) -> Callable[..., Any]:
        """A filter that costs a step and whose text keeps the marks of what went in."""

        @wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            values = [a for a in args if not isinstance(a, Environment | Context | EvalContext)]
            values += kwargs.values()
            if any(isinstance(value, int) and abs(value) > MAX_WIDTH for value in values[1:]):
                raise BudgetExceededError(f"it calls {name} with a number beyond {MAX_WIDTH}")
            if name in _ORDERING:
                position = len(args) - len(
                    [a for a in args if not isinstance(a, Environment | Context | EvalContext)]
                )
                args = (*args[:position], self._ordered(values[0]), *args[position + 1 :])
            self.budget.spend(chars=len(values[0]) if isinstance(values[0], str) else 0)
            result = function(*args, **kwargs)
            return result if name in _PASS_THROUGH else _spread_mark(result, values)

        return paid

    def _ordered(self, values: Any) -> Any:
        """What a filter is about to compare with each other, paid for."""
        items = values if isinstance(values, Mapping) else self._list(values)
        self.budget.spend(steps=len(items), chars=4 * self.budget.weigh(items))
        return items

    def _paid_test(self, function: Any) -> Callable[..., Any]:
        @wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            compared = args[1:] if len(args) > 1 else ()
            self.budget.spend(chars=sum(self.budget.weigh(value) for value in compared))
            return function(*args, **kwargs)

        return paid


class _Instrument(NodeTransformer):
    """Sends the operations Jinja compiles without a hook, loops and `~`, through filters."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's naming
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "_metered", [], [], None, None).set_lineno(node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - Jinja's naming
        self.generic_visit(node)
        items = nodes.List(node.nodes).set_lineno(node.lineno)
        return nodes.Filter(items, "_joined", [], [], None, None).set_lineno(node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802 - Jinja's naming
        self.generic_visit(node)
        node.expr = _compared(node.expr)
        for operand in node.ops:
            operand.expr = _compared(operand.expr)
        return node


class _Generation(Extension):
    """`{% generation %}` marks what a model is trained to say; for rendering it is transparent."""

    tags = {"generation"}  # noqa: RUF012 - Jinja reads it from the class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _SafeNamespace(Namespace):
    """Jinja's namespace without private names."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: N805 - "self" may be one of the names
        self, values = args[0], dict(*args[1:], **kwargs)
        Namespace.__init__(self, {_public(name): value for name, value in values.items()})

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(_public(name), value)


def _public(name: str) -> str:
    if name.startswith("_"):
        raise SecurityError(f"a template may not store {name!r} on a namespace")
    return name


def _compared(operand: nodes.Expr) -> nodes.Expr:
    if isinstance(operand, nodes.Const):
        return operand
    return nodes.Filter(operand, "_compared", [], [], None, None).set_lineno(operand.lineno)


def _raise_exception(message: str) -> None:
    raise TemplateError(str(message))


def _same(value: Any) -> Any:
    return value


def _is_scalar(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool) or isinstance(value, Undefined)


def _is_tainted(values: Iterable[Any]) -> bool:
    """Whether any of `values` may hold a user's text: marked text, or anything that is not plain data."""
    return any(
        bool(value.marks) if isinstance(value, MarkedText) else not _is_scalar(value) for value in values
    )


def _spread_mark(result: Any, sources: Iterable[Any]) -> Any:
    """Text without marks that was made from a user's text is the user's text."""
    if not isinstance(result, str) or isinstance(result, MarkedText):
        return result
    return MarkedText(result) if _is_tainted(source for source in sources if source is not None) else result
