"""Lines of a batch through the endpoints' own exchanges, a bounded window of them at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from pennyweight.answers.account import FREE
from pennyweight.answers.fields import ParameterError
from pennyweight.errors import InsufficientQuotaError, PennyweightError, UnavailableError
from pennyweight.jobs.line_result import LineResult, answered, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from pennyweight.answers.account import Account
    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.principal import Principal
    from pennyweight.jobs.batch_line import BatchLine

    AccountFor = Callable[[str, str], Account]  # of a line's URL and the model that runs
    Place = Callable[[BatchLine], AbstractAsyncContextManager[None]]  # where a line is answered

_log = logging.getLogger(__name__)
_PATIENCE_S: Final = 1.0  # before a line the engine had no room for is tried again
_GLANCE_S: Final = 1.0  # between looks whether a line that waits may still go on
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf a line is asked, and who pays for it."""

    principal: Principal
    account_for: AccountFor = free


class Ledger(Protocol):
    """Where lines come from and results go to. Methods are called on one event loop."""

    async def asker(self) -> Asker | None:
        """Who asks at this moment; None: nothing is to be begun or tried again any more."""
        ...

    def next_line(self) -> BatchLine | None:
        """The next line to run; None when there is none left."""
        ...

    def refusal(self, line: BatchLine) -> PennyweightError | None:
        """Why `line` is not to be run at all; None: it is."""
        ...

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        """Returns when `result` is durable, or sure to become so."""
        ...


async def run_lines(ledger: Ledger, endpoints: Endpoints, *, window: int, place: Place) -> None:
    """Run every line of `ledger`, `window` at a time, each attempt in a place of its own.

    What `ledger` raises, and UnavailableError, ends all and is raised here.
    """
    runner = _LineRunner(ledger, endpoints, place)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(window):
                group.create_task(runner.run())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # the others were cancelled for it, or fell with it


@dataclass(frozen=True, slots=True)
class _Later:
    """The same line may be answered after so many seconds."""

    seconds: float


class _LineRunner:
    """One line after another, each until it has a result."""

    def __init__(self, ledger: Ledger, endpoints: Endpoints, place: Place) -> None:
        self._ledger = ledger
        self._endpoints = endpoints
        self._place = place
        self._beginning = asyncio.Lock()

    async def run(self) -> None:
        line, attempts, started_s = None, 0, 0.0
        while True:
            async with AsyncExitStack() as stack:
                if line is None:
                    async with self._beginning:  # one at a time waits for its line's places
                        if (line := self._ledger.next_line()) is None:
                            return
                        await stack.enter_async_context(self._place(line))
                    attempts, started_s = 0, time.monotonic()
                else:
                    await stack.enter_async_context(self._place(line))
                if (asker := await self._ledger.asker()) is None:
                    return
                attempts += 1
                outcome = await self._attempt(line, asker, attempts)
            if isinstance(outcome, _Later):  # without a place: others have it meanwhile
                await self._wait(outcome.seconds)
            else:
                await self._ledger.keep(line, replace(outcome, seconds=time.monotonic() - started_s))
                line = None

    async def _attempt(self, line: BatchLine, asker: Asker, attempts: int) -> LineResult | _Later:
        """What a route would answer to `line`. Raises UnavailableError only if the engine is gone."""
        model = None
        if (refusal := self._ledger.refusal(line)) is not None:
            return refused(line.custom_id, refusal)
        try:
            exchange = self._endpoints[line.url](line.body, asker.principal.project)
            model = exchange.model
            if exchange.stream:
                message = "'stream' has no meaning in a batch; leave it out."
                raise ParameterError(message, param="stream", code="unsupported_value")
            account = asker.account_for(line.url, model)
            answer = await exchange.whole(asker.principal, priority="batch", account=account)
        except PennyweightError as error:
            if error.code == UnavailableError.code:
                raise  # nothing more will be answered: the line is left for whoever goes on
            if not _may_pass(error, attempts):
                return refused(line.custom_id, error, model=model)
            return _Later(error.retry_after_s or _PATIENCE_S)
        except Exception:  # a defect of ours costs one line, not the batch
            _log.exception("line %d of a batch failed", line.number)
            failure = PennyweightError("The server failed to answer; its log says why.")
            return refused(line.custom_id, failure, model=model)
        return answered(line.custom_id, answer, ignored=exchange.ignored)

    async def _wait(self, seconds: float) -> None:
        """Return early when the batch is not to go on: cancelling waits for nobody's patience."""
        due_s = time.monotonic() + seconds
        while (left_s := due_s - time.monotonic()) > 0 and await self._ledger.asker() is not None:
            await asyncio.sleep(min(left_s, _GLANCE_S))


def _may_pass(error: PennyweightError, attempts: int) -> bool:
    """Whether the same line may be answered later: there was no room for it, or something broke."""
    if error.status in (429, 503):
        return error.code != InsufficientQuotaError.code and error.retry_after_s is not None
    return error.status >= 500 and attempts < _ATTEMPTS
