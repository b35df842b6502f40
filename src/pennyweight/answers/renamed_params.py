"""Errors of the answering rooms, told in the names of the interface the client uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def renamed_params(names: Mapping[str, str]) -> Iterator[None]:
    """`names` maps parameters, or beginnings of their paths, to what the client calls them; first match."""
    try:
        yield
    except InvalidRequestError as error:
        old = next((old for old in names if _is_under(error.param, old)), None)
        if old is not None and error.param is not None:
            error.message = error.message.replace(f"'{old}", f"'{names[old]}")
            error.param = names[old] + error.param[len(old) :]
        raise


def _is_under(param: str | None, old: str) -> bool:
    return param is not None and (param == old or param.startswith((f"{old}.", f"{old}[")))
