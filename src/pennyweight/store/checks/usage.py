"""Usage: numbers that can be, prices where there is something to pay, and a row for every line of a batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, get_args

from sqlalchemy import and_, func, not_, or_, select

from pennyweight.store.tables.batches import batch_lines, batches
from pennyweight.store.tables.usage import usage
from pennyweight.store.usage import KINDS, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.store.checks.check import Finding, Scope

_of = usage.c
_COUNTS: Final = tuple(
    column for column in usage.c if column.name.endswith(("_tokens", "_ms", "_us")) or column.name == "price"
)
_TOKENS: Final = ("prompt_tokens", "cached_tokens", "completion_tokens")
_PORTION: Final = 500  # a statement takes a limited number of values
_GONE: Final = 499
_REACHED: Final = or_(_of.status < 400, _of.status == _GONE)
_FITS: Final = or_(
    and_(_of.status >= 500, _of.outcome == "failed"),
    and_(_of.status == 429, _of.outcome == "limited"),
    and_(_of.status.between(400, 498), _of.status != 429, _of.outcome == "refused"),
    and_(_REACHED, _of.outcome.in_(("completed", "left", "failed"))),
)
_WRONG: Final = (
    (_of.outcome.not_in(get_args(Outcome)), "have an unknown outcome"),
    (_of.kind.not_in(KINDS), "are of an unknown kind"),
    (not_(_FITS), "have an outcome that does not go with their status"),
    (or_(*(column < 0 for column in _COUNTS)), "count less than nothing"),
    (_of.cached_tokens > _of.prompt_tokens, "found more tokens cached than there were"),
    (and_(_of.price > 0, _of.outcome.not_in(("completed", "left"))), "have a price, and nothing to pay for"),
    (and_(_of.price > 0, _of.model.is_(None)), "have a price, and no model"),
    (_of.model.is_(None) != _of.model_asked.is_(None), "name one model of two"),
)


def check_usage(scope: Scope) -> Iterator[Finding]:
    """Over all rows in the database itself, which holds hundreds of millions as easily as three."""
    for condition, sentence in _WRONG:
        chosen = select(func.count(), func.min(_of.request_id)).where(condition)
        number, one = scope.connection.execute(chosen).one()
        if number:
            yield f"{number} rows of usage {sentence}, {one} for one"
    yield from _lines(scope)


def _lines(scope: Scope) -> Iterator[Finding]:
    """What a line of a running batch used was committed with it, and is the sum its batch tells."""
    own = select(batch_lines.c.batch_id)
    told = select(batches.c.id, *(batches.c[name] for name in _TOKENS)).where(batches.c.id.in_(own))
    for batch in scope.connection.execute(told).all():
        ids = _request_ids(scope, batch.id)
        num_rows, tokens = _used(scope, [one for one in ids if one is not None])
        if None in ids:
            yield f"{batch.id} has a line whose result cannot be read"
        elif num_rows != len(ids):
            yield f"{batch.id} has {len(ids)} answered lines, usage knows {num_rows} of them"
        elif tokens != list(batch[1:]):
            yield f"{batch.id} tells of {list(batch[1:])} tokens, the usage of its lines of {tokens}"


def _used(scope: Scope, request_ids: Sequence[str]) -> tuple[int, list[int]]:
    """How many of the requests have a row, and the sums of `_TOKENS`."""
    num_rows, tokens = 0, [0] * len(_TOKENS)
    for start in range(0, len(request_ids), _PORTION):
        chosen = select(func.count(), *(func.sum(_of[name]) for name in _TOKENS))
        some = _of.request_id.in_(request_ids[start : start + _PORTION])
        number, *sums = scope.connection.execute(chosen.where(some)).one()
        num_rows += number
        tokens = [before + int(more or 0) for before, more in zip(tokens, sums, strict=True)]
    return num_rows, tokens


def _request_ids(scope: Scope, batch_id: str) -> list[str | None]:
    """Of a batch's lines; None where the result is no line of an output file."""
    results = select(batch_lines.c.result).where(batch_lines.c.batch_id == batch_id)
    found = scope.connection.execute(results, execution_options={"yield_per": 1000}).scalars()
    return [_request_id(result) for result in found]


def _request_id(result: bytes) -> str | None:
    try:
        return str(json.loads(result)["response"]["request_id"])
    except (ValueError, LookupError, TypeError):
        return None
