"""Query parameters of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.fields import Integer, OneOf, unknown, wrong_type
from pennyweight.store.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_ORDER = OneOf(("asc", "desc"))


def read_query(request: Request, *names: str) -> dict[str, str]:
    """The parameters of a request, each of `names`. Raises ParameterError."""
    for name in request.query_params:
        if name not in names:
            raise unknown(name, names)
    return dict(request.query_params)


def read_page(query: Mapping[str, str], *, most: int, default: int) -> Cursor:
    """`after`, `limit` and `order`. Raises ParameterError."""
    limit = default
    if "limit" in query:
        text = query["limit"]
        if not (text.isascii() and text.isdigit()):
            raise wrong_type("limit", "an integer", text)
        limit = Integer(low=1, high=most).read(int(text[:10]), "limit")
    order = query.get("order", "desc")
    _ORDER.read(order, "order")
    return Cursor(limit=limit, after=query.get("after"), order="asc" if order == "asc" else "desc")
