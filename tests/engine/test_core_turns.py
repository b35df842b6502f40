"""Turns on the cores: one side at a time, a share for guests, nobody left waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.core_turns import GUEST_SHARE, CoreTurns
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from tests.engine import toy_decoder
from tests.engine.listening import PATIENCE_S, Listening
from tests.engine.requests import GREEDY, expected_text, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Guest(threading.Thread):
    """One turn on a thread of its own: `working` once it has begun, ends when told."""

    def __init__(self, cores: CoreTurns) -> None:
        super().__init__(daemon=True)
        self._cores = cores
        self.working = threading.Event()
        self.go_on = threading.Event()
        self.start()

    def run(self) -> None:
        with self._cores.guest():
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
    first = Guest(cores)
    assert first.working.wait(PATIENCE_S)
    taken, waited_s = threading.Event(), []

    def take() -> None:
        waited_s.append(cores.take())
        taken.set()

    engine = threading.Thread(target=take, daemon=True)
    engine.start()
    second = Guest(cores)
    _until(lambda: cores._engine_waits)
    assert not taken.is_set()
    clock.now_s = 0.5
    first.end()
    assert taken.wait(PATIENCE_S)
    assert waited_s == [0.5]
    assert not second.working.wait(0.02)
    cores.release()
    assert second.working.wait(PATIENCE_S)
    second.end()
    engine.join(PATIENCE_S)


def test_beside_a_busy_engine_a_guest_is_due_after_its_share() -> None:
    clock = Clock()
    cores = CoreTurns(clock=clock)
    first = Guest(cores)
    assert first.working.wait(PATIENCE_S)
    clock.now_s = 1.0
    first.end()
    cores.take()
    second = Guest(cores)
    cores.take()  # the next plan: nobody's turn has come
    assert not cores.guest_is_due
    clock.now_s = 1 / GUEST_SHARE - 0.01
    cores.take()
    assert not second.working.is_set()
    clock.now_s = 1 / GUEST_SHARE
    _until(lambda: cores.guest_is_due)
    second.go_on.set()
    cores.take()  # hands over, and has the cores back afterwards
    assert second.working.is_set()
    cores.release()


def test_a_turn_that_fails_gives_the_cores_back() -> None:
    cores = CoreTurns()
    with pytest.raises(KeyError), cores.guest():
        raise KeyError
    cores.take()
    cores.release()
    cores.release()


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
