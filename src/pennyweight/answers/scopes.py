"""What a key may do, by OpenAI's names of scopes (https://platform.openai.com/docs/guides/rbac).

`model.request` asks models; `api.NOUN.read` and `api.NOUN.write` look at and change objects of the key's
project; `api.all.read` and `api.all` stand for all of these. What concerns everybody on the server, other
projects included, is never part of `api.all`: `api.management.*` and `metrics.read` are given by name.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MODEL_REQUEST: Final = "model.request"
METRICS_READ: Final = "metrics.read"
MANAGEMENT_READ: Final = "api.management.read"
MANAGEMENT_WRITE: Final = "api.management.write"
ALL: Final = "api.all"
ALL_READ: Final = "api.all.read"

PROJECT_SCOPES: Final = frozenset({ALL})
"""A key of a project that was given no scopes: everything in its project."""
ADMIN_SCOPES: Final = frozenset({MANAGEMENT_READ, MANAGEMENT_WRITE, METRICS_READ})
"""An admin key: everything about projects, keys and figures; no model, no project's objects."""
EVERY_SCOPE: Final = PROJECT_SCOPES | ADMIN_SCOPES
"""Whoever sits at a machine without keys, and the holder of its static key."""

_NOUNS: Final = (
    "assistants",
    "batches",
    "chat",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "models",
    "responses",
    "threads",
    "uploads",
    "vector_stores",
)
_OF_NOUNS: Final = frozenset(f"api.{noun}.{do}" for noun in _NOUNS for do in ("read", "write"))
KNOWN_SCOPES: Final = frozenset({ALL, ALL_READ, MODEL_REQUEST}) | ADMIN_SCOPES | _OF_NOUNS


def grants(scopes: Collection[str], wanted: str) -> bool:
    """Whether a holder of `scopes` may do what needs `wanted`."""
    if wanted in scopes:
        return True
    if wanted == METRICS_READ:
        return MANAGEMENT_READ in scopes
    if wanted in ADMIN_SCOPES:
        return False
    return ALL in scopes or (ALL_READ in scopes and wanted.endswith(".read"))


def read_scopes(names: Iterable[str]) -> frozenset[str]:
    """`names` as a set. Raises InvalidRequestError for one that does not exist."""
    scopes = frozenset(names)
    for name in sorted(scopes - KNOWN_SCOPES):
        close = get_close_matches(name, KNOWN_SCOPES, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(sorted(KNOWN_SCOPES))}."
        raise InvalidRequestError(f"There is no scope '{name:.80}'; {hint}", param="scopes")
    return scopes


def read_project_scopes(names: Iterable[str]) -> frozenset[str]:
    """Scopes for a project's key; none given: everything in its project.

    Raises InvalidRequestError, also for those that only an admin key has.
    """
    scopes = read_scopes(names) or PROJECT_SCOPES
    for name in sorted(scopes & {MANAGEMENT_READ, MANAGEMENT_WRITE}):
        message = f"A project's key cannot have the scope '{name}'; make an admin key for it."
        raise InvalidRequestError(message, param="scopes")
    return scopes
