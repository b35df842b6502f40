"""Where grammars come from: a JSON schema, a Lark text, a regular expression.

A source is checked, plain and hashable data; equal sources give equal grammars, so compiled ones are kept by
it. JSON is written without free blanks (`Spacing`): a model that may write blanks may write nothing else, up
to the limit.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.schema import enforceable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SOURCE_CHARS = 1 << 20
MAX_GRAMMAR_CHARS = 1 << 14
MAX_RULES = 1000
"""llguidance follows rules by recursion: at a chain of 3,000 it overflows a stack of 8 MB."""

_RULE = re.compile(r"^[ \t]*[\w!?][\w.!?-]*[^:\n]*:", re.MULTILINE)

Spacing = Literal["compact", "spaced"]
"""`compact`: no blanks at all. `spaced`: one blank after each comma and colon, as Python's `json` writes."""

_SEPARATORS = {"compact": (",", ":"), "spaced": (", ", ": ")}
_ESCAPES = 'nrbtf\\"'  # one spelling per character: "\u0061" would be a second name for the key "a"


@dataclass(frozen=True, slots=True)
class GrammarSource:
    """A grammar in llguidance's notation.

    `param` is the request field to name if it does not compile, `places` are the fields of keywords that may
    be the reason; `dropped` are the fields that are not enforced because nobody asked for it strictly.
    `foreign`: anybody may have written its rules.
    """

    text: str
    param: str | None = None
    places: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    foreign: bool = False


def json_schema(
    schema: Mapping[str, Any] | bool,
    *,
    strict: bool = True,
    param: str | None = None,
    spacing: Spacing = "compact",
) -> GrammarSource:
    """Exactly one JSON value that is valid against `schema`, keys in the schema's order.

    SchemaError names a keyword that cannot be enforced and its place; if not `strict` it is left out and
    named in `dropped`.
    """
    checked = enforceable(schema, param=param, strict=strict)
    node = {"x-guidance": {**_options(spacing), "lenient": not strict}, **checked.schema}
    made = _source({"json_schema": node}, param=param)
    return GrammarSource(made.text, param, tuple(checked.places.items()), checked.dropped)


def schema_node(
    schema: Mapping[str, Any] | bool,
    *,
    strict: bool = True,
    param: str | None = None,
    spacing: Spacing = "compact",
    dropped: set[str] | None = None,
) -> dict[str, Any]:
    """`schema` as llguidance takes it after `%json`. SchemaError as in `json_schema`.

    What is left out is added to `dropped`.
    """
    checked = enforceable(schema, param=param, strict=strict)
    if dropped is not None:
        dropped.update(checked.dropped)
    return {"x-guidance": {**_options(spacing), "lenient": not strict}, **checked.schema}


def json_object(*, spacing: Spacing = "compact") -> GrammarSource:
    """Exactly one JSON object, whatever is in it."""
    return _source({"json_schema": {"x-guidance": _options(spacing), "type": "object"}})


def lark(text: str, *, param: str | None = None, named: Mapping[str, str] | None = None) -> GrammarSource:
    """A Lark grammar (llguidance's dialect); `named` are further ones that `text` uses as `@name`.

    `named` may be anybody's: they are bounded more tightly than `text`, and their steps in time.
    """
    parts = [{"lark_grammar": _bounded(text, param, MAX_SOURCE_CHARS)}]
    for name, part in (named or {}).items():
        parts.append({"name": name, "lark_grammar": _bounded(part, param, MAX_GRAMMAR_CHARS)})
    return replace(_source(*parts, param=param), foreign=bool(named))


def regex(pattern: str, *, param: str | None = None) -> GrammarSource:
    """Text that a regular expression (syntax of Rust's `regex`) matches as a whole."""
    if len(pattern) > MAX_GRAMMAR_CHARS:
        raise _too_long("the regular expression", len(pattern), MAX_GRAMMAR_CHARS, param)
    return _source({"lark_grammar": f"start: /{slashed(pattern)}/"}, param=param)


def slashed(pattern: str) -> str:
    """`pattern` as it stands between a Lark terminal's slashes, where a slash or line end would end it."""
    text = "(?:" + pattern + ")"
    pieces, position = [], 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            pieces.append(text[position : position + 2])
            position += 2
            continue
        pieces.append({"/": "\\/", "\n": "\\n", "\r": "\\r"}.get(char, char))
        position += 1
    return "".join(pieces)


def _bounded(text: str, param: str | None, limit: int) -> str:
    if len(text) > limit:
        raise _too_long("the grammar", len(text), limit, param)
    rules = sum(1 for _ in _RULE.finditer(text))
    if rules > MAX_RULES:
        message = f"the grammar has {rules} rules and may have {MAX_RULES}; send a smaller one"
        raise InvalidRequestError(message, param=param)
    return text


def _source(*grammars: Mapping[str, Any], param: str | None = None) -> GrammarSource:
    text = json.dumps({"grammars": list(grammars)}, ensure_ascii=False)
    if len(text) > 2 * MAX_SOURCE_CHARS:
        raise _too_long("the grammar", len(text), 2 * MAX_SOURCE_CHARS, param)
    return GrammarSource(text, param)


def _options(spacing: Spacing) -> dict[str, Any]:
    item, key = _SEPARATORS[spacing]
    return {
        "whitespace_flexible": False,
        "item_separator": item,
        "key_separator": key,
        "json_allowed_escapes": _ESCAPES,
    }


def _too_long(what: str, size: int, limit: int, param: str | None) -> InvalidRequestError:
    return InvalidRequestError(
        f"{what} has {size} characters and may have {limit}; send a smaller one", param=param
    )
