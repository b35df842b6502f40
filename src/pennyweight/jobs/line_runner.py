"""Lines of a batch through the endpoints' own exchanges, a bounded window of them at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from pennyweight.answers.account import FREE
from pennyweight.answers.fields import ParameterError
from pennyweight.errors import InsufficientQuotaError, PennyweightError, UnavailableError
from pennyweight.jobs.line_result import answered, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.account import Account
    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.principal import Principal
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_result import LineResult

    AccountFor = Callable[[str, str], Account]  # of a line's URL and the model that runs

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0  # before a line the engine had no room for is tried again
_ATTEMPTS: Final = 3  # of a line that the engine, or the model's service, failed


MAX_LINES: Final = 64
"""Lines under way at a time: as many as the engine runs."""
_MAX_BYTES: Final = 64 * 2**20  # of lines under way


def free(url: str, model: str) -> Account:  # noqa: ARG001
    """Nobody pays for lines that run offline."""
    return FREE


def window_for(longest_line: int) -> int:
    """How many lines of up to `longest_line` bytes may be under way at a time."""
    return max(1, min(MAX_LINES, _MAX_BYTES // max(1, longest_line)))


class Ledger(Protocol):
    """Where lines come from and results go to. Methods are called on the event loop, one at a time."""

    def next_line(self) -> BatchLine | None:
        """The next line to run; None when there is none left, or none is to be begun any more."""
        ...

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        """Returns when `result` is durable."""
        ...


async def run_lines(
    ledger: Ledger, endpoints: Endpoints, principal: Principal, *, window: int, account_for: AccountFor = free
) -> None:
    """Run every line of `ledger`, `window` at a time, each charged to an account of its own.

    What `keep` raises, and UnavailableError, ends all and is raised here.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(window):
                group.create_task(_run_some(ledger, endpoints, principal, account_for))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # the others were cancelled for it, or fell with it


async def _run_some(
    ledger: Ledger, endpoints: Endpoints, principal: Principal, account_for: AccountFor
) -> None:
    while (line := ledger.next_line()) is not None:
        started_s = time.monotonic()
        result = await answer_line(line, endpoints, principal, account_for)
        await ledger.keep(line, replace(result, seconds=time.monotonic() - started_s))


async def answer_line(
    line: BatchLine, endpoints: Endpoints, principal: Principal, account_for: AccountFor
) -> LineResult:
    """What a route would answer to `line`. Raises UnavailableError only if the engine is gone."""
    attempts = 0
    while True:
        attempts += 1
        try:
            exchange = endpoints[line.url](line.body)
            if exchange.stream:
                message = "'stream' has no meaning in a batch; leave it out."
                raise ParameterError(message, param="stream", code="unsupported_value")
            account = account_for(line.url, exchange.model)
            return answered(
                line.custom_id, await exchange.whole(principal, priority="batch", account=account)
            )
        except PennyweightError as error:
            if error.code == UnavailableError.code:
                raise  # nothing more will be answered: the line is left for whoever goes on
            if not _may_pass(error, attempts):
                return refused(line.custom_id, error)
            await asyncio.sleep(getattr(error, "retry_after_s", None) or _PATIENCE_S)
        except Exception:  # a defect of ours costs one line, not the batch
            _log.exception("line %d of a batch failed", line.number)
            return refused(line.custom_id, PennyweightError("The server failed to answer; its log says why."))


def _may_pass(error: PennyweightError, attempts: int) -> bool:
    """Whether the same line may be answered later: there was no room for it, or something broke."""
    if error.status in (429, 503):
        return error.code != InsufficientQuotaError.code and getattr(error, "retry_after_s", 0.0) is not None
    return error.status >= 500 and attempts < _ATTEMPTS
