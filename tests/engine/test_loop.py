"""The step loop with its thread, on the toy decoder. Order is forced by gates, never by sleeping."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.core import FinishReason, MaskProvider
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.engine.page_committer import MOST_AHEAD
from pennyweight.errors import ContextLengthError, InvalidRequestError, OverloadedError, UnavailableError
from tests.engine import toy_decoder
from tests.engine.listening import PATIENCE_S, Listening
from tests.engine.requests import GREEDY, expected_text, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.core import Event

LONG = replace(GREEDY, max_tokens=500)


class Gate:
    """Stops the decoder before its `at`-th step until opened."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._reached = threading.Event()
        self._opened = threading.Event()

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._reached.set()
            assert self._opened.wait(PATIENCE_S)

    def wait(self) -> None:
        assert self._reached.wait(PATIENCE_S)

    def open(self) -> None:
        self._opened.set()


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def running(decoder: Decoder | None = None, clock: Clock | None = None, **limits: Any) -> Iterator[StepLoop]:
    """A loop that must end with every page and every sampler slot given back."""
    decoder = decoder or Decoder(num_pages=64)
    sizes = {"vocab_size": VOCAB_SIZE, "context_length": 2048, "num_pages": decoder.num_pages} | limits
    extras: dict[str, Any] = {} if clock is None else {"clock": clock}
    loop = StepLoop(decoder, toy_decoder, limits=Limits(**sizes), end_tokens=END_TOKENS, **extras)
    try:
        yield loop
    finally:
        loop.close()
    scheduler = loop._scheduler
    scheduler.check_integrity()
    assert scheduler.cache.pool.num_available == decoder.num_pages, "pages leaked"
    assert not decoder.samplers, "sampler slots leaked"


def test_answers_come_from_the_engines_thread() -> None:
    with running() as loop:
        heard = Listening(2)
        loop.submit(request(tokens(100), num_choices=2), heard)
        heard.wait()
    assert heard.tokens == {0: expected_text(tokens(100)), 1: expected_text(tokens(100))}
    assert heard.threads == {"pennyweight-engine"}
    for finished in heard.finished.values():
        assert finished.reason is FinishReason.LENGTH
        assert finished.usage.completion_tokens == 20


class Committing(Decoder):
    """Lets a test wait for pages to be committed."""

    def __init__(self) -> None:
        super().__init__(num_pages=64)
        self.committed: SimpleQueue[int] = SimpleQueue()

    def commit_page(self, page: int) -> None:
        self.committed.put(page)


def test_pages_that_come_next_have_their_memory_before_they_are_needed() -> None:
    decoder = Committing()
    with running(decoder) as loop:
        for first, last in ((0, MOST_AHEAD), (MOST_AHEAD, MOST_AHEAD + 5)):  # five went into the first prompt
            for page in range(first, last):
                assert decoder.committed.get(timeout=PATIENCE_S) == page
            heard = Listening()
            loop.submit(request(tokens(300)), heard)
            heard.wait()
            assert heard.tokens[0] == expected_text(tokens(300))


def test_many_threads_submit_at_once() -> None:
    with running() as loop:
        heard = [Listening() for _ in range(16)]
        threads = [
            threading.Thread(target=loop.submit, args=(request(tokens(50 + i, salt=i)), listener))
            for i, listener in enumerate(heard)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, listener in enumerate(heard):
            assert listener.wait().tokens[0] == expected_text(tokens(50 + i, salt=i))
        assert loop.stats().generated_tokens == 16 * 20


def test_cancel_ends_a_long_plan_after_the_step_under_way() -> None:
    gate = Gate(10)
    with running(Decoder(num_pages=64, before_step=gate)) as loop:
        heard = Listening()
        handle = loop.submit(request(tokens(10), sampling=LONG), heard)
        gate.wait()
        for _ in range(3):
            handle.cancel()
        gate.open()
        heard.wait()
        handle.cancel()
    assert heard.finished[0].reason is FinishReason.CANCELLED
    assert heard.finished[0].usage.completion_tokens == 10
    assert heard.tokens[0] == expected_text(tokens(10), LONG)[:10]


def test_one_choice_can_be_cancelled() -> None:
    gate = Gate(3)
    with running(Decoder(num_pages=64, before_step=gate)) as loop:
        heard = Listening(2)
        handle = loop.submit(
            request(tokens(10), sampling=replace(GREEDY, max_tokens=100), num_choices=2), heard
        )
        gate.wait()
        handle.cancel(1)
        gate.open()
        heard.wait()
    assert [heard.finished[i].reason for i in range(2)] == [FinishReason.LENGTH, FinishReason.CANCELLED]


def test_an_arrival_ends_a_long_plan() -> None:
    gate = Gate(10)
    decoder = Decoder(num_pages=64, before_step=gate)
    with running(decoder) as loop:
        first, second = Listening(), Listening()
        loop.submit(request(tokens(10), sampling=LONG), first)
        gate.wait()
        loop.submit(request(tokens(10, salt=1)), second)
        gate.open()
        second.wait()
        assert not first.is_over
        first.wait()
    assert first.tokens[0] == expected_text(tokens(10), LONG)
    assert second.tokens[0] == expected_text(tokens(10, salt=1))
    assert len(decoder.plans[2][0]) == 2, "the plan after the interrupted one serves both"


def test_an_arrival_between_schedule_and_begin_is_not_overslept() -> None:
    """The interrupt comes before the plan it should end; `begin` would forget it."""

    class Late(Decoder):
        def begin(self, rows: Sequence[toy_decoder.Row], *, steps: int = 1) -> None:
            if steps > 1 and len(self.plans) == 1:
                loop.submit(request(tokens(10, salt=1)), second)
            super().begin(rows, steps=steps)

    decoder = Late(num_pages=64, steps_per_finish=1)
    with running(decoder) as loop:
        first, second = Listening(), Listening()
        loop.submit(request(tokens(10), sampling=LONG), first)
        first.wait()
        second.wait()
    assert decoder.plans[1][1] == 64
    assert decoder.plans[2][0][0].position == decoder.plans[1][0][0].position + 1, "one step, not 64"


def test_results_arrive_while_a_long_plan_runs() -> None:
    gate = Gate(20)
    with running(Decoder(num_pages=64, steps_per_finish=1, before_step=gate)) as loop:
        heard = Listening()
        loop.submit(request(tokens(10), sampling=LONG), heard)
        gate.wait()
        heard.wait_for(lambda heard: heard.num_tokens >= 18)
        gate.open()
        heard.wait()


def test_a_deadline_ends_a_long_plan() -> None:
    clock = Clock()

    def tick() -> None:
        clock.now_s += 1

    with running(Decoder(num_pages=64, steps_per_finish=1, before_step=tick), clock) as loop:
        heard = Listening()
        loop.submit(request(tokens(10), sampling=LONG, deadline_s=110.5), heard)
        heard.wait()
    assert heard.finished[0].reason is FinishReason.CANCELLED
    assert heard.finished[0].usage.completion_tokens == 12
    timings = heard.finished[0].timings
    assert (timings.queue_s, timings.ttft_s, timings.decode_s) == (0.0, 1.0, 11.0)


@pytest.mark.parametrize("error", [RuntimeError("non-finite logits"), ValueError("a bad row")])
def test_a_failing_decoder_fails_its_sequences_and_the_loop_survives(error: Exception) -> None:
    left = 5

    def fail_once() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise error

    with running(Decoder(num_pages=64, before_step=fail_once)) as loop:
        heard = Listening(2)
        loop.submit(request(tokens(100), sampling=LONG, num_choices=2), heard)
        heard.wait()
        assert {finished.reason for finished in heard.finished.values()} == {FinishReason.ERROR}
        assert str(error) in str(heard.finished[0].error)
        assert heard.finished[0].usage.completion_tokens == len(heard.tokens[0])
        again = Listening()
        loop.submit(request(tokens(100)), again)
        assert again.wait().tokens[0] == expected_text(tokens(100))


@pytest.mark.parametrize("error", [RuntimeError("lost"), AssertionError("a broken invariant")])
def test_a_plan_that_an_error_left_running_is_drained(error: Exception) -> None:
    class Losing(Decoder):
        """Its first `finish` after three plans raises and leaves the plan running, waiting for masks."""

        def finish(self, masks: Any = (), *, timeout_s: float = 0.01) -> Any:
            if len(self.plans) == 3 and not self.lost:
                self.lost = True
                raise error
            return super().finish(masks, timeout_s=timeout_s)

        lost = False

    decoder = Losing(num_pages=64, steps_per_finish=1)
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS)
    heard = Listening(2)
    loop.submit(request(tokens(10), mask_provider=EvenTokens(), num_choices=2), heard)
    assert {f.reason for f in heard.wait().finished.values()} == {FinishReason.ERROR}
    if isinstance(error, RuntimeError):
        again = Listening()
        loop.submit(request(tokens(10)), again)
        assert again.wait().tokens[0] == expected_text(tokens(10))
    loop.close()
    assert not decoder._steps_left
    assert isinstance(error, AssertionError) or not decoder.samplers


def test_an_ended_loop_is_not_kept_alive() -> None:
    with running() as loop:
        gone = weakref.ref(loop)
        heard = Listening()
        loop.submit(request(tokens(10)), heard)
        heard.wait()
    del loop
    gc.collect()
    assert gone() is None


def test_a_defect_leaves_nobody_waiting() -> None:
    gate = Gate(2)

    def broken() -> None:
        gate()
        raise AssertionError("a broken invariant")

    decoder = Decoder(num_pages=64, before_step=broken)
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS)
    heard = [Listening(2), Listening()]
    loop.submit(request(tokens(10), num_choices=2), heard[0])
    for listener in heard[:1]:
        assert {f.reason for f in listener.wait().finished.values()} == {FinishReason.ERROR}
    loop._thread.join()
    with pytest.raises(UnavailableError, match="broken"):
        loop.submit(request(tokens(10)), heard[1])
    loop.close()


def test_a_failing_listener_cancels_only_its_own_request() -> None:
    def deaf(event: Event) -> None:
        raise OSError(f"gone before {event}")

    with running() as loop:
        heard = Listening()
        loop.submit(request(tokens(10), sampling=LONG), deaf)
        loop.submit(request(tokens(20), sampling=LONG), heard)
        assert heard.wait().tokens[0] == expected_text(tokens(20), LONG)
        assert loop.stats().generated_tokens < 1000


def test_a_listener_may_cancel_and_submit() -> None:
    """Stop strings do the first, conversations the second."""
    with running() as loop:
        heard, follow_up = Listening(), Listening()

        def listener(event: Event) -> None:
            heard(event)
            if heard.num_tokens == 5 and not heard.is_over:
                handles[0].cancel()
            if heard.is_over:
                loop.submit(request(tokens(5, salt=2)), follow_up)

        handles: list[Any] = []
        submitted = threading.Event()

        def hold_up(event: Event) -> None:
            assert submitted.wait(PATIENCE_S), event

        loop.submit(request(tokens(5)), hold_up)
        handles.append(loop.submit(request(tokens(10), sampling=LONG), listener))
        submitted.set()
        heard.wait()
        follow_up.wait()
    assert heard.finished[0].reason is FinishReason.CANCELLED
    assert follow_up.finished[0].reason is FinishReason.LENGTH


@pytest.mark.parametrize("num_requests", [0, 1, 5])
def test_close_cancels_what_is_left(num_requests: int) -> None:
    gate = Gate(3)
    decoder = Decoder(num_pages=64, before_step=gate)
    with running(decoder, max_running=2) as loop:
        heard = [Listening() for _ in range(num_requests)]
        for i, listener in enumerate(heard):
            loop.submit(request(tokens(10, salt=i), sampling=LONG), listener)
        closing = threading.Thread(target=loop.close)
        if num_requests:
            gate.wait()
            closing.start()
            gate.open()
        else:
            closing.start()
        closing.join(PATIENCE_S)
        assert all(listener.finished[0].reason is FinishReason.CANCELLED for listener in heard)
        with pytest.raises(UnavailableError, match="closed"):
            loop.submit(request(tokens(3)), Listening())


def test_too_many_requests_are_refused_and_later_ones_taken() -> None:
    gate = Gate(2)
    with running(Decoder(num_pages=64, before_step=gate), max_requests=1) as loop:
        heard = Listening()
        loop.submit(request(tokens(10)), heard)
        gate.wait()
        with pytest.raises(OverloadedError, match="no more than 1"):
            loop.submit(request(tokens(10)), Listening())
        gate.open()
        heard.wait()
        again = Listening()
        loop.submit(request(tokens(10)), again)
        again.wait()


def test_the_queue_counts_choices() -> None:
    gate = Gate(2)
    with running(Decoder(num_pages=64, before_step=gate), max_requests=4) as loop:
        heard = Listening(3)
        loop.submit(request(tokens(10), num_choices=3), heard)
        gate.wait()
        with pytest.raises(OverloadedError, match=r"3 answers.*no more than 4"):
            loop.submit(request(tokens(10), num_choices=2), Listening())
        last = Listening()
        loop.submit(request(tokens(10)), last)
        gate.open()
        heard.wait()
        last.wait()


def test_a_refused_request_is_refused_at_once() -> None:
    with running() as loop:
        with pytest.raises(ContextLengthError, match=r"3000 tokens.*2048"):
            loop.submit(request([1] * 3000), Listening())
        with pytest.raises(InvalidRequestError):
            loop.submit(request([VOCAB_SIZE]), Listening())
        assert loop.stats().steps == 0


def test_no_seed_draws_a_fresh_one() -> None:
    sampling = replace(GREEDY, temperature=1.0, seed=None)
    with running() as loop:
        heard = [Listening() for _ in range(2)]
        for listener in heard:
            loop.submit(request(tokens(10), sampling=sampling), listener)
            listener.wait()
    assert heard[0].tokens != heard[1].tokens


class EvenTokens(MaskProvider):
    """A grammar of even tokens; it may fail at a given call of `mask` or `accept`."""

    def __init__(self, *, mask_fails_at: int | None = None, accept_fails_at: int | None = None) -> None:
        self.accepted: list[int] = []
        self.forks: list[EvenTokens] = []
        self._masks = 0
        self._mask_fails_at = mask_fails_at
        self._accept_fails_at = accept_fails_at

    def mask(self) -> bytes:
        self._masks += 1
        if self._masks == self._mask_fails_at:
            raise RuntimeError("no way on")
        return b"\x55" * (4 * ((VOCAB_SIZE + 31) // 32))

    def accept(self, token: int) -> None:
        if len(self.accepted) + 1 == self._accept_fails_at:
            raise ValueError("not mine")
        self.accepted.append(token)

    def fork(self) -> EvenTokens:
        self.forks.append(EvenTokens())
        return self.forks[-1]


def test_masks_hold_for_every_choice_and_only_there() -> None:
    grammar = EvenTokens()
    with running() as loop:
        masked, free = Listening(2), Listening()
        loop.submit(request(tokens(70), mask_provider=grammar, num_choices=2, draft=(1, 2, 3)), masked)
        loop.submit(request(tokens(80)), free)
        masked.wait()
        free.wait()
    assert free.tokens[0] == expected_text(tokens(80))
    assert all(token % 2 == 0 for choice in masked.tokens.values() for token in choice)
    assert grammar.accepted == masked.tokens[0]
    assert [fork.accepted for fork in grammar.forks] == [masked.tokens[1]]


class Narrow(EvenTokens):
    """Its fourth mask has the size of another vocabulary."""

    def mask(self) -> bytes:
        mask = super().mask()
        return mask[:-4] if self._masks == 4 else mask


@pytest.mark.parametrize("grammar", [EvenTokens(mask_fails_at=4), EvenTokens(accept_fails_at=4), Narrow()])
def test_a_failing_grammar_fails_its_own_sequence_only(grammar: EvenTokens) -> None:
    with running() as loop:
        broken, healthy = Listening(), Listening()
        loop.submit(request(tokens(70), mask_provider=grammar), broken)
        loop.submit(request(tokens(80)), healthy)
        assert healthy.wait().tokens[0] == expected_text(tokens(80))
        finished = broken.wait().finished[0]
    assert finished.reason is FinishReason.ERROR
    assert finished.error is not None
    assert "grammar" in finished.error
    assert len(broken.tokens[0]) == finished.usage.completion_tokens == 3


def test_a_grammar_that_cannot_fork_fails_its_request_only() -> None:
    class Unforkable(EvenTokens):
        def fork(self) -> EvenTokens:
            raise RuntimeError("one of a kind")

    with running() as loop:
        heard, healthy = Listening(3), Listening()
        loop.submit(request(tokens(7), mask_provider=Unforkable(), num_choices=3), heard)
        loop.submit(request(tokens(80)), healthy)
        healthy.wait()
        heard.wait()
    assert {f.error for f in heard.finished.values()} == {"The request could not be queued: one of a kind"}
    assert heard.finished[2].usage.prompt_tokens == 7
