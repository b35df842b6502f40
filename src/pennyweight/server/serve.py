"""One uvicorn worker over one engine, until SIGINT or SIGTERM; both stop it cleanly."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from pennyweight.errors import ConfigError
from pennyweight.server.gate import Gate
from pennyweight.server.http import Http
from pennyweight.server.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

_GRACE_S = 3  # streams still running after this are cut: an answer can take minutes


class _Server(uvicorn.Server):
    """uvicorn's own handlers raise the signal again after its shutdown: the engine would not be closed."""

    received: signal.Signals | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def give_up(self) -> None:
        """Stop without a signal. From any thread."""
        self.should_exit = True

    def _stop(self, number: signal.Signals) -> None:
        self.force_exit = self.should_exit  # the second time: do not wait for streams
        self.should_exit = True
        self.received = number


def bind(host: str, port: int) -> socket.socket:
    """A listening address, before the model is loaded; ConfigError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, or asyncio leaves small answers waiting for an acknowledgement: 40 ms on a kept connection.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise ConfigError(
            f"cannot listen on {host}:{port}: {reason}; choose another --host or --port"
        ) from error
    except (UnicodeError, TypeError) as error:  # a label too long; half a surrogate pair or a NUL
        listener.close()
        raise ConfigError(f"{host!r} cannot be a host's name; choose another --host") from error
    return listener


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves us, whatever else is installed beside it."""
    return uvicorn.Config(
        app,
        http=Http,
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="off",
        server_header=False,
    )


def serve(
    listener: socket.socket, *, prepare: Callable[[Callable[[], None]], ASGIApp]
) -> signal.Signals | None:
    """Serve until a signal and return it. Connections are accepted at once, and told to wait.

    `prepare` makes the application meanwhile, on another thread; what it raises ends the server and is raised
    here. It is given a function to call now and then, which raises when the server is to stop.
    """
    gate = Gate()
    server = _Server(server_config(gate))
    listener.listen(2048)
    preparation = Preparation(prepare, ready=gate.open, failed=server.give_up)
    asyncio.run(server.serve(sockets=[listener]))
    preparation.stop()
    return server.received
