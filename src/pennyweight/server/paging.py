"""Query parameters of a list."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pennyweight.answers.fields import Integer, OneOf, ParameterError, TextMap, unknown, wrong_type
from pennyweight.answers.responses_settings import check_include
from pennyweight.store.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from pennyweight.store.pages import Order

LIST_QUERY: Final = ("after", "before", "limit", "order")
"""What most lists take."""
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_ORDER: Final = OneOf(("asc", "desc"))
_FLAG: Final = OneOf(("true", "false"))
_ENTRY: Final = re.compile(r"metadata\[(.*)\]", re.DOTALL)


def read_query(request: Request, *names: str) -> dict[str, str]:
    """The parameters of a request, each of `names`; `metadata[...]` for `metadata`. Raises ParameterError."""
    for name in request.query_params:
        if ("metadata" if _ENTRY.fullmatch(name) else name) not in names:
            raise unknown(name, names)
    return dict(request.query_params)


def read_metadata(query: Mapping[str, str]) -> dict[str, str]:
    """What a list asks to stand in the metadata: `metadata[name]=value`. Raises ParameterError."""
    if "metadata" in query:
        raise wrong_type("metadata", "an object, as in metadata[name]=value", query["metadata"])
    found = ((_ENTRY.fullmatch(name), value) for name, value in query.items())
    return TextMap().read({entry[1]: value for entry, value in found if entry}, "metadata")


def check_included(request: Request) -> None:
    """`include[]` must name what OpenAI has; all there is, is told anyway. Raises ParameterError."""
    check_include([*request.query_params.getlist("include[]"), *request.query_params.getlist("include")])


def read_flag(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is `true` or `false`; not there: false. Raises ParameterError."""
    return _FLAG.read(query.get(name, "false"), name) == "true"


def read_number(query: Mapping[str, str], name: str, *, default: int, most: int = 2**31 - 1) -> int:
    """A whole number from 0 to `most`. Raises ParameterError."""
    return whole_number(query[name], name, Integer(low=0, high=most)) if name in query else default


def whole_number(text: str, name: str, kind: Integer) -> int:
    """The number that `text` spells, if it is one of `kind`. Raises ParameterError."""
    if not _WHOLE.fullmatch(text):
        message = f"Invalid '{name}': {text!r:.80}; it must be a whole number from {kind.low} to {kind.high}."
        raise ParameterError(message, param=name, code="invalid_type")
    return kind.read(int(text), name)


def read_page(query: Mapping[str, str], *, most: int, default: int, order: Order = "desc") -> Cursor:
    """`after`, `before`, `limit` and `order`, by default as given. Raises ParameterError."""
    limit = default
    if "limit" in query:
        limit = whole_number(query["limit"], "limit", Integer(low=1, high=most))
    named = _ORDER.read(query.get("order", order), "order")
    ordered: Order = "asc" if named == "asc" else "desc"
    return Cursor(limit=limit, after=query.get("after"), before=query.get("before"), order=ordered)
