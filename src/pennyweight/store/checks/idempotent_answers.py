"""Answers kept under their `Idempotency-Key`: whole, within their sizes, and complete ones alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from pennyweight.store.idempotent_answers import MAX_ANSWER_BYTES, MAX_PROJECT_ANSWERS, MAX_PROJECT_BYTES
from pennyweight.store.tables.idempotent_answers import idempotent_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row, Select

    from pennyweight.store.checks.check import Finding, Scope

_FINGERPRINT: Final = re.compile("[0-9a-f]{64}")
_LONGEST_KEY: Final = 255


def check_idempotent_answers(scope: Scope) -> Iterator[Finding]:
    """Of bodies only the length is read: there may be 256 MiB of them for each project."""
    of = idempotent_answers.c
    small = [of[name] for name in ("project_id", "key", "fingerprint", "status", "headers", "num_bytes")]
    rows: Select[Any] = select(*small, func.coalesce(func.length(of.body), 0).label("length"))
    for row in scope.connection.execute(rows, execution_options={"yield_per": 1000}):
        for problem in _problems(row):
            yield f"the answer under {row.key!r} of {row.project_id} {problem}"
    held = select(of.project_id, func.count(), func.sum(of.num_bytes)).group_by(of.project_id)
    for project, number, num_bytes in scope.connection.execute(held):
        if number > MAX_PROJECT_ANSWERS or num_bytes > MAX_PROJECT_BYTES:
            yield f"{project} has {number} answers of {num_bytes} bytes kept, which is more than are kept"


def _problems(row: Row[Any]) -> Iterator[str]:
    if not (0 < len(row.key) <= _LONGEST_KEY and row.key.isascii() and row.key.isprintable()):
        yield "has a key that nobody can send"
    if not _FINGERPRINT.fullmatch(row.fingerprint):
        yield "has a fingerprint that is no SHA-256"
    if row.status != 200:
        yield f"has the status {row.status}"
    if row.length != row.num_bytes:
        yield f"has {row.length} bytes, its row says {row.num_bytes}"
    if row.num_bytes > MAX_ANSWER_BYTES:
        yield f"has {row.num_bytes} bytes, which are more than are kept"
    if not _are_headers(row.headers):
        yield "has headers that cannot be read"


def _are_headers(text: str) -> bool:
    try:
        pairs = json.loads(text)
    except ValueError:
        return False
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in pairs
    )
