"""Work that leaves cores and interpreter to others."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pennyweight.models.load import load
from pennyweight.residents.gentle import NICENESS, TURN_S, lower_priority, short_turns
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_threads_that_pack_yield_and_nobody_else(tmp_path: Path) -> None:
    found: list[int] = []

    def begin() -> None:
        lower_priority()
        thread = threading.Thread(target=lambda: found.append(niceness()))
        thread.start()
        thread.join()
        found.append(niceness())

    before = niceness()
    load(write_tiny_llama(tmp_path / "a.gguf"), threads=1, beginning=begin)
    assert found == [NICENESS, NICENESS]
    assert niceness() == before


def test_the_interpreter_changes_hands_often_meanwhile() -> None:
    usual_s = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    assert sys.getswitchinterval() == usual_s
    with pytest.raises(KeyError), short_turns():
        raise KeyError("x")
    assert sys.getswitchinterval() == usual_s
