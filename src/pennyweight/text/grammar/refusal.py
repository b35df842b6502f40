"""How a schema that cannot be promised is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence


class SchemaError(InvalidRequestError):
    """A keyword of a schema that cannot be enforced; `keyword` is its name and `param` its place.

    `why` is the reason alone.
    """

    code = "invalid_json_schema"

    def __init__(self, message: str, *, keyword: str, param: str, why: str = "") -> None:
        super().__init__(message, param=param)
        self.keyword = keyword
        self.why = why or message


def refuse(keyword: str, path: Sequence[str | int], why: str, *, param: str | None) -> SchemaError:
    """`path` leads to the schema that holds `keyword`; `param` is the request field that holds the whole."""
    place = (param or "schema") + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*path, keyword)
    )
    message = f"{place}: {why}. Leave `{keyword}` out, or ask without `strict`."
    return SchemaError(message, keyword=keyword, param=place, why=why)
