"""Work at a lower priority."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from pennyweight.residents.gentle import NICENESS, TURN_S, gently


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_the_work_and_its_threads_yield_and_nobody_else() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> tuple[int, int]:
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(niceness()))
        thread.start()
        thread.join()
        return niceness(), found[0]

    before = niceness()
    assert gently(work) == (NICENESS, NICENESS)
    assert niceness() == before


def test_what_the_work_raises_is_raised() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        gently(fail)


def test_the_interpreter_changes_hands_often_meanwhile() -> None:
    usual_s = sys.getswitchinterval()
    assert gently(sys.getswitchinterval) == pytest.approx(TURN_S)
    assert sys.getswitchinterval() == usual_s
    with pytest.raises(ZeroDivisionError):
        gently(lambda: 1 / 0)
    assert sys.getswitchinterval() == usual_s
