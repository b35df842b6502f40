"""`penny serve --database postgresql://...` as an operator runs it, and the way from there to a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.service import Service
from tests.models.tiny import write_tiny_llama
from tests.store.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.penny import Penny


@pytest.fixture
def url() -> Iterator[str]:
    """Of a database with nothing in it, as `createdb` makes one."""
    with postgres_server() as server:
        yield server.new_database(migrated=False)


def test_a_server_on_postgresql(penny: Penny, url: str, tmp_path: Path) -> None:
    """Keys, a stored chat, a batch; killed, started again, checked, backed up, and served from a file."""
    model, folder = write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data"
    flags = ("--data", str(folder), "--database", url)
    early = penny.run("keys", "list", *flags)
    assert (early.returncode, "nothing of Pennyweight" in early.stderr) == (1, True)
    service = Service(model, folder, "--database", url)
    service.start()
    try:
        service.key = penny.run("keys", "create", "alice", *flags).stdout.strip()
        assert httpx.get(f"{service.url}/v1/models").status_code == 401
        client = service.client
        chat = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], max_tokens=2, store=True
        )
        raw = jsonl(*(chat_line(number) for number in range(40)))
        file = client.files.create(file=("in.jsonl", raw), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        batch = service.ended(made.id)
        assert batch.status == "completed"
        assert batch.output_file_id is not None
        service.kill()
        service.start()
        answers = service.client.files.content(batch.output_file_id).read()
        assert len(answers.splitlines()) == 40
        told = json.loads(penny.run("usage", "--by", "batch", "--json", *flags).stdout)
        assert {row["batch"]: row["requests"] for row in told["rows"]}["yes"] == 40
        assert penny.run("store", "verify", *flags).returncode == 0
        done = penny.run("store", "backup", str(tmp_path / "backup"), *flags)
        assert done.returncode == 0, done.stderr
    finally:
        service.stop()
    moved = Service(model, tmp_path / "moved")
    assert (
        penny.run("store", "restore", str(tmp_path / "backup"), "--data", str(moved.folder)).returncode == 0
    )
    moved.key = service.key
    moved.start()
    try:
        assert moved.client.chat.completions.retrieve(chat.id).id == chat.id
        assert moved.client.files.content(batch.output_file_id).read() == answers
    finally:
        moved.stop()
    moved.verify()
