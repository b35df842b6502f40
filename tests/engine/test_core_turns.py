"""Turns on the cores: one side at a time, a share for guests, nobody left waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.engine.core_turns import GUEST_SHARE, CoreTurns, Seat
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from tests.engine import toy_decoder
from tests.engine.listening import PATIENCE_S, Listening
from tests.engine.requests import GREEDY, expected_text, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.core import Priority


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Guest(threading.Thread):
    """One turn on a thread of its own: `working` once it has begun, ends when told."""

    def __init__(self, cores: CoreTurns, priority: Priority = "interactive") -> None:
        super().__init__(daemon=True)
        self._cores = cores
        self.priority: Priority = priority
        self.working = threading.Event()
        self.go_on = threading.Event()
        self.start()

    def run(self) -> None:
        with self._cores.guest(lambda: self.priority):
            self.working.set()
            assert self.go_on.wait(PATIENCE_S)

    def end(self) -> None:
        self.go_on.set()
        self.join(PATIENCE_S)
        assert not self.is_alive()


def _until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


def test_guests_have_the_cores_while_the_engine_sleeps() -> None:
    cores = CoreTurns()
    for _ in range(3):
        guest = Guest(cores)
        assert guest.working.wait(PATIENCE_S)
        guest.end()


def test_the_engine_waits_for_a_guest_at_work_and_goes_before_the_next() -> None:
    clock = Clock()
    cores = CoreTurns(clock=clock)
    seat = cores.seat()
    first = Guest(cores)
    assert first.working.wait(PATIENCE_S)
    taken, waited_s = threading.Event(), []

    def take() -> None:
        waited_s.append(seat.take())
        taken.set()

    engine = threading.Thread(target=take, daemon=True)
    engine.start()
    second = Guest(cores)
    _until(lambda: cores._engines)
    assert not taken.is_set()
    clock.now_s = 0.5
    first.end()
    assert taken.wait(PATIENCE_S)
    assert waited_s == [0.5]
    assert not second.working.wait(0.02)
    seat.release()
    assert second.working.wait(PATIENCE_S)
    second.end()
    engine.join(PATIENCE_S)


def test_beside_a_busy_engine_a_guest_is_due_after_its_share() -> None:
    clock = Clock()
    cores = CoreTurns(clock=clock)
    seat = cores.seat()
    first = Guest(cores)
    assert first.working.wait(PATIENCE_S)
    clock.now_s = 1.0
    first.end()
    seat.take()
    second = Guest(cores)
    seat.take()  # the next plan: nobody's turn has come
    assert not seat.others_are_due
    clock.now_s = 1 / GUEST_SHARE - 0.01
    seat.take()
    assert not second.working.is_set()
    clock.now_s = 1 / GUEST_SHARE
    _until(lambda: seat.others_are_due)
    second.go_on.set()
    seat.take()  # hands over, and has the cores back afterwards
    assert second.working.is_set()
    seat.release()


def test_a_turn_for_batches_keeps_nobody_else_waiting() -> None:
    clock = Clock()
    cores = CoreTurns(batch_share=0.1, clock=clock)
    first = Guest(cores, "batch")
    assert first.working.wait(PATIENCE_S)
    clock.now_s = 1.0
    first.end()
    seat = cores.seat()
    seat.take()
    second = Guest(cores, "batch")
    _until(lambda: bool(cores._guests))
    clock.now_s = 9.99
    assert not seat.others_are_due  # a tenth of the time is not over
    second.priority = "interactive"  # somebody asks meanwhile
    assert seat.others_are_due
    second.priority = "batch"
    clock.now_s = 10.01
    assert seat.others_are_due
    second.go_on.set()
    seat.take()
    assert second.working.is_set()
    seat.release()


def test_batches_without_a_share_wait_for_the_engine_to_sleep() -> None:
    cores = CoreTurns(batch_share=0.0)
    seat = cores.seat()
    seat.take()
    guest = Guest(cores, "batch")
    _until(lambda: bool(cores._guests))
    seat.take()
    assert not seat.others_are_due
    seat.release()
    assert guest.working.wait(PATIENCE_S)
    guest.end()


def test_a_turn_that_fails_gives_the_cores_back() -> None:
    cores = CoreTurns()
    with pytest.raises(KeyError), cores.guest():
        raise KeyError
    seat = cores.seat()
    seat.take()
    seat.release()
    seat.release()


def test_turns_come_between_the_plans_of_a_running_engine() -> None:
    """Plans of many steps end for them, the text stays the same, and after `close` the cores are free."""
    decoder = Decoder(num_pages=64, steps_per_finish=1)
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS)
    sampling = replace(GREEDY, max_tokens=1000)
    heard = Listening()
    loop.submit(request(tokens(10), sampling=sampling), heard)
    for _ in range(5):
        with loop.cores.guest():
            assert not decoder._steps_left
    assert heard.wait().tokens[0] == expected_text(tokens(10), sampling)
    loop.close()
    with loop.cores.guest():
        pass


def _share(
    cores: CoreTurns, clock: Clock, seats: list[Seat], *, plan_s: float, plans: int
) -> dict[Seat, int]:
    """How many of `plans` plans each seat ran, with all of them wanting the cores all the time."""
    ran = dict.fromkeys(seats, 0)
    done = threading.Event()

    def work(seat: Seat) -> None:
        while not done.is_set():
            seat.take()
            if sum(ran.values()) < plans:
                ran[seat] += 1
                _until(lambda: len(cores._engines) == len(seats) - 1 or done.is_set())
                clock.now_s += plan_s
            else:
                done.set()
        seat.release()

    threads = [threading.Thread(target=work, args=(seat,), daemon=True) for seat in seats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    return ran


def test_engines_with_work_share_the_time_equally() -> None:
    clock = Clock()
    cores = CoreTurns(clock=clock)
    ran = _share(cores, clock, [cores.seat(), cores.seat(), cores.seat()], plan_s=0.01, plans=300)
    assert all(abs(count - 100) <= 3 for count in ran.values())


def test_an_engine_with_batch_work_alone_gets_its_share() -> None:
    clock = Clock()
    cores = CoreTurns(clock=clock)
    usual, batch = cores.seat(), cores.seat()
    batch.weight = 0.1 / 0.9
    ran = _share(cores, clock, [usual, batch], plan_s=0.01, plans=400)
    assert abs(ran[batch] - 40) <= 3


def test_idle_time_is_not_saved_up() -> None:
    """An engine that slept begins level with the one that worked: it gets half from now on, not more."""
    clock = Clock()
    cores = CoreTurns(clock=clock)
    busy, sleeper = cores.seat(), cores.seat()
    busy.take()
    clock.now_s = 1000.0
    ran = _share(cores, clock, [busy, sleeper], plan_s=0.01, plans=200)
    assert abs(ran[sleeper] - 100) <= 3
    clock.now_s += 1
    late = cores.seat()
    late.take()
    late.release()
    assert late.spent_s >= busy.spent_s - 0.1


def test_one_team_at_a_time() -> None:
    """Two real loops with work: no plan of one begins while the other's runs, and both texts are right."""
    cores = CoreTurns()
    running: list[Watched] = []
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=64)
    decoders = [Watched(running) for _ in range(2)]
    loops = [
        StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS, cores=cores)
        for decoder in decoders
    ]
    sampling = replace(GREEDY, max_tokens=300)
    heard = [Listening() for _ in loops]
    for loop, listening in zip(loops, heard, strict=True):
        loop.submit(request(tokens(10), sampling=sampling), listening)
    for listening in heard:
        assert listening.wait().tokens[0] == expected_text(tokens(10), sampling)
    for loop in loops:
        loop.close()
    assert all(len(decoder.plans) > 1 for decoder in decoders)


class Watched(Decoder):
    """Fails if another one of `running` is at work."""

    def __init__(self, running: list[Watched]) -> None:
        super().__init__(num_pages=64, steps_per_finish=1)
        self._others = running

    def begin(self, rows: Any, *, steps: int = 1) -> None:
        assert not self._others, "two teams on the same cores"
        self._others.append(self)
        super().begin(rows, steps=steps)

    def finish(self, masks: Any = (), *, timeout_s: float = 0.01) -> Any:
        steps, done = super().finish(masks, timeout_s=timeout_s)
        if done:
            self._others.remove(self)
        return steps, done
