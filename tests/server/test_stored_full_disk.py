"""A full disk: what was to be kept is a 507, what was not is answered, and all is well afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.server.live import live_server
from tests.store.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.api import Engine

DISK_BYTES = 4 * 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", num_bytes=DISK_BYTES) as disk:
        yield disk


def test_a_full_disk(engine: Engine, disk: Path) -> None:
    with live_server(engine, data=str(disk / "data")) as server:
        url = f"{server.url}/v1"
        asked: dict[str, Any] = {"model": server.model, "input": "x" * 9000, "max_output_tokens": 4}
        first = httpx.post(f"{url}/responses", json=asked, timeout=60).json()["id"]
        filler = fill_up(disk)
        chat = {"model": server.model, "messages": [{"role": "user", "content": "x" * 9000}], "max_tokens": 4}
        for path, body in (
            ("responses", asked),
            ("responses", {**asked, "background": True}),
            ("chat/completions", {**chat, "store": True}),
            ("conversations", {"items": [{"role": "user", "content": "x" * 9000}]}),
        ):
            refused = httpx.post(f"{url}/{path}", json=body, timeout=60)
            assert (refused.status_code, refused.headers["x-should-retry"]) == (507, "false"), path
            assert refused.json()["error"]["code"] == "storage_full"
        streamed = httpx.post(f"{url}/responses", json={**asked, "stream": True}, timeout=60)
        assert streamed.text.split("\n\n")[-2].startswith("event: response.failed\n")
        assert httpx.post(f"{url}/responses", json={**asked, "store": False}, timeout=60).status_code == 200
        assert httpx.get(f"{url}/responses/{first}").status_code == 200
        filler.unlink()
        again = httpx.post(f"{url}/responses", json={**asked, "previous_response_id": first}, timeout=60)
        assert again.status_code == 200
