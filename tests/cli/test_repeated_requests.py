"""An answer that a client has seen whole is repeated, even if the server was killed a moment later."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.cli.test_serve import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny

WHOLE = ("[DONE]", "event: response.completed", "event: response.incomplete")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_what_was_answered_outlives_a_kill(
    penny: Penny, tiny_llama_path: Path, path: str, stream: bool
) -> None:
    asked = {"input": "Hi"} if path == "responses" else {"messages": [{"role": "user", "content": "Hi"}]}
    body: dict[str, Any] = {"model": "tiny-llama", "stream": stream, **asked}
    seen = []
    for _ in range(2):
        process, url = started(penny, tiny_llama_path)
        headers = {"idempotency-key": "once"}
        with httpx.stream("POST", f"{url}/v1/{path}", json=body, headers=headers, timeout=60) as reply:
            assert reply.status_code == 200
            text = ""
            for piece in reply.iter_text():
                text += piece
                if not stream or any(mark in text for mark in WHOLE):
                    break  # before the response is formally over
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        seen.append(text)
    assert seen[0] == seen[1]
