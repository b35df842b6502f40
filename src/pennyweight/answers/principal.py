"""Who asks, what they may do, and how much of it. Whatever is stored or cached belongs to a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.answers.scopes import EVERY_SCOPE, grants

if TYPE_CHECKING:
    from pennyweight.core import Allowance

DEFAULT_PROJECT: Final = "default"
"""The one project while there are no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller behind a request, which must fit every one of `allowances`.

    `key` is the id of a stored key; None: the person at the machine, or the holder of its static key.
    """

    project: str = DEFAULT_PROJECT
    key: str | None = None
    scopes: frozenset[str] = EVERY_SCOPE
    allowances: tuple[Allowance, ...] = ()

    def may(self, scope: str) -> bool:
        """Whether the scopes held include `scope`."""
        return grants(self.scopes, scope)


LOCAL: Final = Principal()
