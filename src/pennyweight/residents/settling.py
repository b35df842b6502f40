"""What a model that has just been loaded leaves to do, done when nobody is held up by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from pennyweight.answers.grammars import Grammars
    from pennyweight.engine.core_turns import CoreTurns

_LOOK_S = 0.25  # whether the engines are idle


def settle(grammars: Grammars, cores: CoreTurns, closed: threading.Event) -> None:
    """Give back what the load freed; read the vocabulary for grammars once no engine is at work.

    That keeps the interpreter for half a second, twice, of a vocabulary of 262,144 tokens: no stream should
    wait for it. A request that needs it sooner reads it itself. Ends early when `closed` is set. For a
    thread of its own, of usual priority: those that masks are computed by inherit it.
    """
    from pennyweight.native import _native

    _native.release_free_memory()
    while not closed.is_set() and not cores.are_idle:
        closed.wait(_LOOK_S)
    if not closed.is_set():
        grammars.warm_up()
        _native.release_free_memory()
