"""`penny serve` killed while it answers: usage has lost at most the newest rows, and goes on where it was."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import httpx

from tests.cli.test_serve import started
from tests.server.live import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


def _ask(url: str) -> str:
    asked = {"model": "gpt-4o-mini", "prompt": "Hi", "max_tokens": 1}
    return httpx.post(f"{url}/v1/completions", json=asked).headers["x-request-id"]


def _kept(penny: Penny) -> list[str]:
    path = penny.home / "data" / "pennyweight" / "pennyweight.db"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT request_id FROM usage ORDER BY id")]


def test_what_was_answered_before_the_last_moment_is_kept(penny: Penny, tiny_llama_path: Path) -> None:
    process, url = started(penny, tiny_llama_path)
    answered = [_ask(url) for _ in range(20)]
    eventually(lambda: _kept(penny) == answered)
    answered += [_ask(url) for _ in range(200)]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    kept = _kept(penny)
    assert len(kept) >= 20
    assert kept == answered[: len(kept)], "the newest are missing, and no other"
    process, url = started(penny, tiny_llama_path)
    answered = [*kept, _ask(url)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert _kept(penny) == answered
