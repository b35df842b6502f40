"""A server listens before its model is there: alive at once, ready later, and gone if it never will be."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.responses import PlainTextResponse

from pennyweight.errors import ModelFileError
from pennyweight.server.preparation import Preparation, StoppedError
from pennyweight.server.serve import bind, serve
from tests.server.live import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def is_live(url: str) -> bool:
    try:
        return httpx.get(f"{url}/live").status_code == 200
    except httpx.TransportError:
        return False


def test_it_is_live_at_once_and_healthy_when_the_model_is_there() -> None:
    release = threading.Event()
    seen: list[httpx.Response] = []

    def prepare(_: Callable[[], None]) -> ASGIApp:
        assert release.wait(60)
        return PlainTextResponse("ready")

    def visit(url: str) -> None:
        eventually(lambda: is_live(url))
        seen.append(httpx.get(f"{url}/health"))
        seen.append(httpx.post(f"{url}/v1/chat/completions", json={}))
        release.set()
        eventually(lambda: httpx.get(f"{url}/health").status_code == 200)
        os.kill(os.getpid(), signal.SIGTERM)

    with bind("127.0.0.1", 0) as listener:
        visitor = threading.Thread(target=visit, args=[url_of(listener)])
        visitor.start()
        assert serve(listener, prepare=prepare) is signal.SIGTERM
        visitor.join()
    for early in seen:
        assert early.status_code == 503
        assert int(early.headers["retry-after"]) >= 1
        assert early.headers["x-request-id"].startswith("req_")
        assert early.json() == {
            "error": {
                "message": "The model is being loaded; try again in a moment.",
                "type": "service_unavailable_error",
                "param": None,
                "code": "model_loading",
            }
        }


def test_what_prepare_raises_ends_the_server() -> None:
    def prepare(_: Callable[[], None]) -> ASGIApp:
        raise ModelFileError("no such bytes")

    with bind("127.0.0.1", 0) as listener, pytest.raises(ModelFileError, match="no such bytes"):
        serve(listener, prepare=prepare)


def test_a_stop_reaches_what_is_under_way() -> None:
    begun = threading.Event()
    ended = threading.Event()

    def prepare(check: Callable[[], None]) -> ASGIApp:
        begun.set()
        try:
            while True:
                check()
        except StoppedError:
            ended.set()
            raise

    preparation = Preparation(prepare, ready=lambda _: None, failed=lambda: None)
    assert begun.wait(60)
    preparation.stop()
    assert ended.is_set()


def test_small_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio switches Nagle's algorithm off for sockets that say they are TCP, and for no others."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
