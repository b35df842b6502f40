"""Files behind http(s) addresses, Hugging Face included: streamed, and resumed where a connection broke.

Integrity does not rest on the transport: `Receiver` checks the SHA-256.
"""

from __future__ import annotations

import http.client
import os
import time
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from pennyweight.errors import FetchError
from pennyweight.models.receiver import CHUNK_BYTES

if TYPE_CHECKING:
    from pennyweight.models.catalog import HuggingFaceFile
    from pennyweight.models.fetch_pypi import Report
    from pennyweight.models.receiver import Receiver

_TIMEOUT_S: Final = 30.0
_ATTEMPTS: Final = 4  # in a row without a new byte
_PAUSE_S: Final = 0.5


def hugging_face_url(source: HuggingFaceFile) -> str:
    """The download address; `HF_ENDPOINT` names a mirror, as it does for Hugging Face's own tools."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"


def receive(url: str, receiver: Receiver, *, report: Report) -> None:
    """Download `url` into `receiver`. FetchError for an answer that cannot become the file."""
    host = urlsplit(url).netloc
    if urlsplit(url).scheme not in ("http", "https"):
        raise FetchError(f"{url} is not an http or https address")
    failures = 0
    while receiver.received < receiver.size:
        before = receiver.received
        try:
            _stream(url, receiver, report)
            problem: object = "the connection closed early"
        except HTTPError as error:
            error.close()
            if error.code < 500:
                raise FetchError(f"{host} answered {error.code} {error.reason}") from error
            problem = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            problem = error.reason if isinstance(error, URLError) else error
        failures = 0 if receiver.received > before else failures + 1
        if failures == _ATTEMPTS:
            raise FetchError(f"{host} cannot be reached: {problem}")
        if receiver.received < receiver.size:
            time.sleep(_PAUSE_S * failures)


def _stream(url: str, receiver: Receiver, report: Report) -> None:
    """One connection, from where the last one broke."""
    headers = {"User-Agent": "pennyweight", "Accept-Encoding": "identity"}
    if receiver.received:
        headers["Range"] = f"bytes={receiver.received}-"
    with urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            receiver.restart()
        length = response.headers.get("Content-Length")
        expected = str(receiver.size - receiver.received)
        if length not in (None, expected):
            raise FetchError(f"{urlsplit(url).netloc} sends {length} bytes instead of {expected}")
        while chunk := response.read(CHUNK_BYTES):
            receiver.write(chunk)
            report(receiver.received)
