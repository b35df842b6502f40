"""The engine's thread: takes requests in, runs steps, posts events.

Every other thread meets the engine in `submit`, `Handle.cancel`, `stats` and `close` alone. Events of a step
are posted while the next one runs. The thread sleeps on a condition when nothing is left to do.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pennyweight.core import Timings, Usage
from pennyweight.engine.adapters import NoAdapters
from pennyweight.engine.core_turns import CoreTurns
from pennyweight.engine.cpu_time import CpuTime
from pennyweight.engine.outbox import Outbox
from pennyweight.engine.page_committer import PageCommitter
from pennyweight.engine.page_reader import PagesRead
from pennyweight.engine.page_saver import PageSaver
from pennyweight.engine.prefix_fetch import PrefixFetch
from pennyweight.engine.prompt import FlatPrompt
from pennyweight.engine.runner import Runner, StepDecoder, StepModule
from pennyweight.engine.scheduler import Scheduler
from pennyweight.engine.sequence import Listener, SequenceGroup
from pennyweight.engine.stats import EngineStats, Stopwatch
from pennyweight.engine.step_cost import StepCost
from pennyweight.errors import OverloadedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pennyweight.core import Request
    from pennyweight.engine.adapters import Adapters
    from pennyweight.engine.limits import Limits
    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.engine.plan import RowOutput, StepPlan

__all__ = ["EngineStats", "Handle", "StepLoop"]

log = logging.getLogger(__name__)

DECODER_ERRORS = (ValueError, RuntimeError, MemoryError)  # what the native module documents


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to be queued."""

    group: SequenceGroup


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Choices to be ended; `choice` None means all of the request."""

    group: SequenceGroup
    choice: int | None


Message = Arrival | Cancellation | PagesRead


class Handle:
    """One submitted request, as its submitter holds it."""

    def __init__(self, loop: StepLoop, group: SequenceGroup) -> None:
        self._loop = loop
        self._group = group

    def cancel(self, choice: int | None = None) -> None:
        """End one choice, or all, after the step under way. From any thread, any number of times."""
        self._loop.post(Cancellation(self._group, choice))

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time spent on all choices up to the last plan that ended. From any thread."""
        return self._group.cpu_s

    @property
    def prompt_usage(self) -> Usage:
        """What of the prompt was computed or found, by the choice that is furthest. From any thread."""
        return max((one.prompt_usage() for one in self._group.sequences), default=Usage(), key=_prompt_tokens)

    @property
    def timings(self) -> Timings:
        """Of the first choice with a token; without one nothing is told. From any thread."""
        begun = (one for one in self._group.sequences if one.first_token_s is not None)
        first = next(begun, None)
        return Timings() if first is None else first.timings(time.monotonic())


def _prompt_tokens(usage: Usage) -> int:
    return usage.prompt_tokens


class StepLoop:
    """Owns the engine's thread from construction to `close`.

    `module` is where the decoder's `Row` and `Logits` live. `end_tokens` are the model's. An end token, or
    one of a request's `stop_token_ids`, is counted in `completion_tokens` as OpenAI counts it, but carries no
    text and is not posted as a TokenEvent. A program that ends without `close` is closed by the interpreter.
    Other engines and other native work on the same cores take their turns by `cores`. Prefixes are spilled to
    `folder` and come back from there; None: they are not.
    """

    def __init__(
        self,
        decoder: StepDecoder,
        module: StepModule,
        *,
        limits: Limits,
        end_tokens: frozenset[int],
        adapters: Adapters | None = None,
        cores: CoreTurns | None = None,
        folder: PageFolder | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._adapters = NoAdapters() if adapters is None else adapters
        self._clock = clock
        self.cores = CoreTurns() if cores is None else cores
        self._seat = self.cores.seat()
        self._cost = StepCost()
        self._runner = Runner(decoder, module, vocab_size=limits.vocab_size)
        self._committer = PageCommitter(decoder)
        self._scheduler = Scheduler(limits, end_tokens=end_tokens, cost=self._cost)
        cache = self._scheduler.cache
        self._saver = PageSaver(folder, cache.tree, self._runner)
        self._fetch = PrefixFetch(folder, cache, self._runner, self._cost, post=self._post_pages, clock=clock)
        self._cpu_time = CpuTime(self._runner)
        self._outbox = Outbox()
        self._stopwatch = Stopwatch()
        self._stats = EngineStats(pages_total=limits.num_pages)
        self._news = threading.Condition()  # guards the three below
        self._inbox: list[Message] = []
        self._state: Literal["open", "closed", "broken"] = "open"
        self._num_submitted = 0
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="pennyweight-engine", daemon=True)
        # A daemon thread that comes back from native code to an interpreter at its end aborts the process.
        atexit.register(self.close)
        self._thread.start()

    def submit(self, request: Request, listener: Listener) -> Handle:
        """Queue `request`. The engine's thread calls `listener`: TokenEvents, one FinishedEvent per choice.

        Raises InvalidRequestError, ContextLengthError, OverloadedError or UnavailableError; then nothing
        was queued and `listener` is never called.
        """
        prompt = FlatPrompt.of(request.prompt)
        self._limits.check(request, prompt)
        adapter = None if request.adapter is None else self._adapters.get(request.adapter)
        seed = secrets.randbits(64) if request.sampling.seed is None else request.sampling.seed % 2**64
        with self._news:
            self._check_open(request.num_choices)
            self._num_submitted += 1
            group = SequenceGroup(
                request,
                prompt,
                listener,
                number=self._num_submitted,
                seed=seed,
                submitted_s=self._clock(),
                adapter=adapter,
            )
            self._outbox.register(group)
            self._post(Arrival(group))
        return Handle(self, group)

    def post(self, cancellation: Cancellation) -> None:
        """Hand a cancellation over to the engine's thread; `Handle.cancel` does."""
        with self._news:
            if self._outbox.is_open(cancellation.group):
                self._post(cancellation)

    @property
    def is_serving(self) -> bool:
        """False once the engine is closed or has failed: `submit` would raise."""
        return self._state == "open"

    def stats(self) -> EngineStats:
        """As of the last plan's end, or of what was taken in since."""
        return self._stats

    def close(self) -> None:
        """Cancel what is queued, then end the thread. Idempotent; not for listeners to call."""
        if os.getpid() != self._pid:
            return  # a fork has no thread to end, and may have copied the lock while it was held
        with self._news:
            if self._state == "open":
                self._state = "closed"
            self._news.notify_all()
            self._runner.interrupt()
        self._thread.join()

    def _check_open(self, num_choices: int) -> None:
        if self._state != "open":
            raise UnavailableError(f"The engine is {self._state} and takes no more requests; start it again.")
        num_open = self._outbox.num_open
        if num_open + num_choices > self._limits.max_requests:
            raise OverloadedError(
                f"{num_open} answers are queued or running, and the engine takes no more than "
                f"{self._limits.max_requests}; try again later."
            )

    def _post_pages(self, read: PagesRead) -> None:
        with self._news:
            self._post(read)

    def _post(self, message: Message) -> None:
        self._inbox.append(message)
        self._news.notify_all()
        self._runner.interrupt()

    def _run(self) -> None:
        self._cpu_time.begin()
        try:
            while self._take_in():
                self._seat.weight = self._scheduler.weight
                self._cost.spent_s = self._seat.take()
                plan = self._scheduler.schedule(self._clock())
                if plan.rows:
                    started_s = self._clock()
                    self._step(plan)
                    self._saver.save_beside(self._clock() - started_s)
                if not self._scheduler.has_work:
                    self._seat.release()
            self._deliver()
        except Exception as error:  # the thread's edge: a defect must leave nobody waiting
            log.exception("The engine's thread failed")
            self._break_down(f"The engine failed: {error}")
        finally:
            self._seat.release()
            self._committer.close()
            self._fetch.close()
            self._saver.close(keep=self._state == "closed")
            atexit.unregister(self.close)

    def _take_in(self) -> bool:
        """Handle messages, asleep while there is neither work nor news; False when the loop is to end."""
        if not self._scheduler.has_work:
            self._deliver()  # else while the next step runs: listeners wake threads that would hold it up
            self._use_pause()
        self._committer.commit_ahead(self._scheduler.cache.pool)
        messages, state = self._sleep()
        for message in messages:
            if isinstance(message, Arrival):
                self._receive(message.group)
            elif isinstance(message, PagesRead):
                self._queue_all(self._fetch.take(message, headroom=len(self._scheduler.running)))
            else:
                self._cancel(message)
        self._queue_all(self._fetch.take_expired())
        if state == "closed":
            self._queue_all(self._fetch.let_all_go())
            self._scheduler.cancel_all(self._clock())
        self._retire()
        if messages:
            self._stats = self._stopwatch.snapshot(self._scheduler)
        return self._scheduler.has_work or state == "open"

    def _sleep(self) -> tuple[list[Message], str]:
        """What has come, at once if there is work, else when it comes or a pause is over; and the state."""
        waits = [wait_s for wait_s in (self._saver.wait_s, self._fetch.wait_s) if wait_s is not None]
        with self._news:
            if not self._inbox and not self._scheduler.has_work and self._state == "open":
                self._news.wait(min(waits, default=None))
            messages, self._inbox = self._inbox, []
            return messages, self._state

    def _use_pause(self) -> None:
        """Copies for the disk take time, if little."""
        while not self._inbox and self._state == "open" and self._saver.save_one():
            pass

    def _step(self, plan: StepPlan) -> None:
        """Run one plan to its end. A failing decoder fails the plan's sequences; the loop goes on."""
        started_s = self._clock()
        num_steps = 0
        try:
            self._runner.begin(plan)
            done = False
            while not done:
                self._interrupt_if_due(plan)
                self._deliver()
                steps, done = self._runner.finish()
                num_steps += len(steps)
                if steps or done:
                    self._cpu_time.charge(plan)  # before the events of those that end now are posted
                self._postprocess(plan, steps)
                if not done and steps and self._scheduler.prefers_drafts(plan):
                    self._runner.interrupt()
        except DECODER_ERRORS as error:
            log.exception("The decoder failed")
            self._runner.abandon()
            for row in plan.rows:
                self._scheduler.fail(row.sequence, f"The decoder failed: {error}", self._clock())
        else:
            self._scheduler.complete(plan)
            self._measure(plan, num_steps, self._clock() - started_s)
        self._retire()

    def _postprocess(self, plan: StepPlan, steps: Sequence[Sequence[RowOutput]]) -> None:
        now_s = self._clock()
        for index, message in self._runner.take_failures().items():
            self._scheduler.fail(plan.rows[index].sequence, message, now_s)
        for step in steps:
            for output in step:
                self._scheduler.advance(plan.rows[output.row], output, now_s)

    def _interrupt_if_due(self, plan: StepPlan) -> None:
        """End a plan of many steps for news that came before it began, a deadline or another's turn."""
        overdue = plan.deadline_s is not None and plan.deadline_s <= self._clock()
        if overdue or self._inbox or self._state != "open" or self._seat.others_are_due:
            self._runner.interrupt()

    def _measure(self, plan: StepPlan, num_steps: int, seconds: float) -> None:
        self._cost.observe(plan.shape, seconds / max(1, num_steps))
        self._stopwatch.add(num_steps, seconds, prefill=plan.shape.prompt_tokens > 0)
        self._stats = self._stopwatch.snapshot(self._scheduler)

    def _receive(self, group: SequenceGroup) -> None:
        if not self._fetch.hold(group):
            self._queue(group)

    def _queue_all(self, groups: Sequence[SequenceGroup]) -> None:
        for group in groups:
            self._queue(group)

    def _queue(self, group: SequenceGroup) -> None:
        try:
            self._scheduler.add(group)
        except Exception as error:  # forking a grammar is foreign code: only its own request fails
            log.exception("Request %s could not be queued", group.request.id)
            self._outbox.fail([group], f"The request could not be queued: {error}", self._clock())

    def _cancel(self, cancellation: Cancellation) -> None:
        if self._fetch.let_go(cancellation.group):
            self._queue(cancellation.group)
        for sequence in cancellation.group.sequences:
            if cancellation.choice in (None, sequence.choice):
                self._scheduler.cancel(sequence, self._clock())

    def _deliver(self) -> None:
        for group in self._outbox.deliver(self._scheduler.take_events()):
            self.post(Cancellation(group, None))

    def _retire(self) -> None:
        for sequence in self._scheduler.take_retired():
            self._runner.retire(sequence)

    def _break_down(self, message: str) -> None:
        with self._news:
            self._state = "broken"
        self._outbox.deliver(self._scheduler.take_events())
        self._outbox.fail_all(message, self._clock())
        self._runner.abandon()  # last: whatever it meets, nobody is left waiting
