"""Files behind http(s) addresses: streamed, and resumed where a connection or an earlier try broke off.

Integrity does not rest on the transport: `Receiver` checks what a file must be. A header meant for one host
is never sent to another that it redirects to.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from pennyweight.errors import FetchError
from pennyweight.models.receiver import CHUNK_BYTES

if TYPE_CHECKING:
    from pennyweight.models.fetch_pypi import Report
    from pennyweight.models.receiver import Receiver

_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 4  # in a row without a new byte
_PAUSE_S: Final = 0.5
_TRY_AGAIN: Final = frozenset({408, 429})
_START_BYTES: Final = 16

T = TypeVar("T")


class PassingError(FetchError):
    """Nothing that was asked wrongly: the same may succeed in a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the bytes are at this moment. `headers` are for that host alone; `etag` names the version."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None


Locate = Callable[[], Location]
"""Asked before every connection: a signed address lives for minutes, a download for hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a server says of a file: its bytes, the first few of them, and the version they are of."""

    size: int
    start: bytes
    etag: str | None


def announcement(url: str) -> Announcement:
    """Ask for the file and hang up. FetchError, also for a server that does not tell the size."""

    def ask() -> Announcement:
        with _opened(Location(url=url), start=0) as response:
            length, etag = response.headers.get("Content-Length"), response.headers.get("ETag")
            if length is None or not length.isdigit():
                raise FetchError(f"{_host(url)} does not tell the size of {url}")
            strong = etag if etag is not None and not etag.startswith("W/") else None
            return Announcement(size=int(length), start=response.read(_START_BYTES), etag=strong)

    return patiently(lambda: _attempt(url, ask))


def receive(locate: Locate, receiver: Receiver, *, report: Report) -> None:
    """Download what `locate` finds into `receiver`. FetchError for an answer that cannot become the file."""
    failures = 0
    while receiver.received < receiver.size:
        before, location = receiver.received, locate()
        try:
            _attempt(location.url, partial(_stream, location, receiver, report))
        except PassingError:
            failures = 0 if receiver.received > before else failures + 1
            if failures == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S * failures)


def patiently(action: Callable[[], T]) -> T:
    """The result of `action`, tried again after a passing failure, a few times."""
    for failures in range(1, _ATTEMPTS):
        try:
            return action()
        except PassingError:
            time.sleep(_PAUSE_S * failures)
    return action()


def check_address(url: str) -> None:
    """Raise FetchError for what is not an http or https address."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise FetchError(f"{url} is not an http or https address")


def is_passing(status: int) -> bool:
    """Whether an HTTP status says to try again."""
    return status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN


def _attempt(url: str, action: Callable[[], T]) -> T:
    """One try; whatever goes wrong is a FetchError, a passing one if it is worth another try."""
    try:
        return action()
    except HTTPError as error:
        error.close()
        if not is_passing(error.code):
            raise FetchError(f"{_host(url)} answered {error.code} {error.reason}") from error
        problem: object = f"{error.code} {error.reason}"
        raise PassingError(f"{_host(url)} cannot be reached: {problem}") from error
    except (OSError, http.client.HTTPException) as error:
        problem = error.reason if isinstance(error, URLError) else error
        raise PassingError(f"{_host(url)} cannot be reached: {problem}") from error


def _opened(location: Location, *, start: int) -> http.client.HTTPResponse:
    check_address(location.url)
    request = Request(location.url, headers={"User-Agent": "pennyweight", "Accept-Encoding": "identity"})
    for name, value in location.headers.items():
        request.add_unredirected_header(name, value)
    if start:
        request.add_header("Range", f"bytes={start}-")
        if location.etag is not None:
            request.add_header("If-Range", location.etag)
    response: http.client.HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)
    return response


def _stream(location: Location, receiver: Receiver, report: Report) -> None:
    """One connection, from where the last one broke. The file on disk may be full: that is OSError too."""
    with _opened(location, start=receiver.received) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            receiver.restart()
        length = response.headers.get("Content-Length")
        expected = str(receiver.size - receiver.received)
        if length not in (None, expected):
            raise FetchError(f"{_host(location.url)} sends {length} bytes instead of {expected}")
        while chunk := response.read(CHUNK_BYTES):
            receiver.write(chunk)
            report(receiver.received)
    if receiver.received < receiver.size:
        raise http.client.HTTPException("the connection closed early")


def _host(url: str) -> str:
    return urlsplit(url).netloc
