"""Lines on their way through endpoints: what is tried again, and that nothing is once a batch must stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pennyweight.answers.exchange import Answered
from pennyweight.answers.principal import LOCAL
from pennyweight.core import Usage
from pennyweight.errors import EngineError, InsufficientQuotaError, RateLimitError
from pennyweight.jobs import line_runner
from pennyweight.jobs.batch_line import BatchLine
from pennyweight.jobs.line_runner import Asker, run_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.jobs.line_result import LineResult

URL = "/v1/completions"


@dataclass
class Answers:
    """An endpoint that raises `errors` of a line's number in turn, then answers."""

    errors: Callable[[int, int], Exception | None]
    attempts: Counter[int] = field(default_factory=Counter)

    def endpoints(self) -> Endpoints:
        return {URL: lambda body, _: _Exchange(self, int(str(body["number"])))}


@dataclass
class _Exchange:
    answers: Answers
    number: int
    model: str = "tiny"
    asked_model: str = "tiny"
    stream: bool = False
    ignored: tuple[str, ...] = ()

    async def whole(self, *_: object, **__: object) -> Answered:
        self.answers.attempts[self.number] += 1
        await asyncio.sleep(0)
        if error := self.answers.errors(self.number, self.answers.attempts[self.number]):
            raise error
        return Answered(body=b"{}", model=self.model, usage=Usage())


class Lines:
    """A ledger that stops after `stop_after` looks whether it may go on."""

    def __init__(self, count: int, *, stop_after: int | None = None) -> None:
        self.kept: dict[int, LineResult] = {}
        self._left = iter(range(1, count + 1))
        self._looks_left = stop_after

    async def asker(self) -> Asker | None:
        if self._looks_left is not None:
            self._looks_left -= 1
            if self._looks_left < 0:
                return None
        return Asker(principal=LOCAL)

    def next_line(self) -> BatchLine | None:
        number = next(self._left, None)
        if number is None:
            return None
        return BatchLine(
            number=number, custom_id=f"r-{number}", url=URL, model="tiny", body={"number": number}
        )

    def refusal(self, _line: BatchLine) -> None:
        return None

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        assert line.number not in self.kept
        self.kept[line.number] = result


@asynccontextmanager
async def free_places(_line: BatchLine) -> AsyncIterator[None]:
    yield


def ran(lines: Lines, answers: Answers, *, window: int = 4) -> dict[int, int]:
    """The status of every line that was kept."""

    async def main() -> None:
        async with asyncio.timeout(20):
            await run_lines(lines, answers.endpoints(), window=window, place=free_places)

    asyncio.run(main())
    return {number: result.status for number, result in lines.kept.items()}


def busy(_number: int, _attempt: int) -> Exception:
    return RateLimitError("busy", kind="requests", retry_after_s=0.01)


def test_no_room_is_waited_for_and_failures_are_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_runner, "_PATIENCE_S", 0.01)

    def errors(number: int, attempt: int) -> Exception | None:
        if number == 1:
            return EngineError("broken")
        if number == 2:
            return InsufficientQuotaError("no money")
        if number == 3:
            return ZeroDivisionError("a defect")
        return busy(number, attempt) if attempt < 6 else None

    answers = Answers(errors)
    told = ran(Lines(4), answers)
    assert told == {1: 500, 2: 429, 3: 500, 4: 200}
    assert answers.attempts == {1: 3, 2: 1, 3: 1, 4: 6}


def test_a_line_nobody_has_room_for_does_not_keep_a_stopped_batch_going() -> None:
    answers = Answers(busy)
    assert ran(Lines(8, stop_after=30), answers) == {}
    assert set(answers.attempts) == {1, 2, 3, 4}, "no further line was begun"


def test_a_long_wait_ends_when_the_batch_must_stop() -> None:
    def errors(_number: int, _attempt: int) -> Exception:
        return RateLimitError("come back tomorrow", kind="requests", retry_after_s=86_400)

    answers = Answers(errors)
    assert ran(Lines(1, stop_after=1), answers) == {}
    assert answers.attempts == {1: 1}


def test_a_line_that_waits_has_no_place() -> None:
    held = most_waiting = 0
    answers = Answers(
        lambda _number, attempt: (
            RateLimitError("busy", kind="requests", retry_after_s=0.05) if attempt == 1 else None
        )
    )

    @asynccontextmanager
    async def place(_line: BatchLine) -> AsyncIterator[None]:
        nonlocal held
        held += 1
        try:
            yield
        finally:
            held -= 1

    async def watch() -> None:
        nonlocal most_waiting
        while True:
            if set(answers.attempts) == {1, 2} and not held:
                most_waiting = 2
            await asyncio.sleep(0)

    async def main() -> None:
        watching = asyncio.create_task(watch())
        await run_lines(Lines(2), answers.endpoints(), window=2, place=place)
        watching.cancel()

    asyncio.run(main())
    assert most_waiting == 2, "both lines waited, and held nothing meanwhile"
