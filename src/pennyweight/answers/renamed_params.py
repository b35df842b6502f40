"""What the answering rooms tell, in the names of the interface the client uses."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Renaming:
    """`names` maps parameters, or beginnings of their paths, to what the client calls them; first match.

    Of those in `counted_otherwise` only the name is told: their elements have other numbers there.
    """

    names: Mapping[str, str]
    counted_otherwise: frozenset[str] = frozenset()

    def __call__(self, path: str) -> str:
        """`path` as the client would write it."""
        for old, new in self.names.items():
            if path == old or path.startswith((f"{old}.", f"{old}[")):
                rest = path[len(old) :]
                return new if old in self.counted_otherwise and rest[:2] != "[]" else new + rest
        return path


def rename(error: InvalidRequestError, renaming: Callable[[str], str]) -> None:
    """Tell `error` by another name of its parameter, also where its message quotes it."""
    old = error.param
    if old is None or (new := renaming(old)) == old:
        return
    error.param = new
    # A bare word such as "messages" may be meant as one, unless it is quoted.
    before = r"(?<![\w.\]])" if re.search(r"\W", old) else r"(?<=['\"`])"
    error.message = re.sub(rf"{before}{re.escape(old)}(?!\w)", lambda _: new, error.message)


@contextmanager
def renamed_params(renaming: Callable[[str], str]) -> Iterator[None]:
    """Errors raised within are told by `renaming`."""
    try:
        yield
    except InvalidRequestError as error:
        rename(error, renaming)
        raise
