"""Making the application on a thread of its own while the server already listens."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

_PATIENCE_S = 5.0  # a download that does not move is left behind: the process is about to end


class StoppedError(Exception):
    """The server was told to stop before it was ready. Raised by the check given to `prepare`."""


class Preparation:
    """Runs `prepare(check)` and hands its application to `ready`; `failed` is called if it raises.

    `prepare` calls `check` now and then, which raises StoppedError once `stop` was called.
    """

    def __init__(
        self,
        prepare: Callable[[Callable[[], None]], ASGIApp],
        *,
        ready: Callable[[ASGIApp], None],
        failed: Callable[[], None],
    ) -> None:
        self._prepare = prepare
        self._ready = ready
        self._failed = failed
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pennyweight-start", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the thread; raise what `prepare` raised."""
        self._stopped.set()
        self._thread.join(_PATIENCE_S)
        if self._error is not None:
            raise self._error

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError

    def _run(self) -> None:
        try:
            self._ready(self._prepare(self._check))
        except StoppedError:
            return
        except BaseException as error:  # the thread's edge: raised again by `stop`
            self._error = error
            self._failed()
