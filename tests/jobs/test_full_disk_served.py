"""A server process on a disk that is full, or may not be written to: 507, nothing lost, and well again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import openai
import pytest

from pennyweight.store.database import Database
from pennyweight.store.verify import verify
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.service import Service
from tests.models.tiny import write_tiny_llama
from tests.server.live import eventually
from tests.store.kept_usage import kept_usage
from tests.store.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DISK_BYTES = 6 * 2**20
MOST_TRIES = 400
HI: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("full") / "tiny.gguf")


@pytest.fixture
def service(model: Path, tmp_path: Path) -> Iterator[Service]:
    with small_disk(tmp_path / "disk", num_bytes=DISK_BYTES) as disk:
        service = Service(model, disk / "data")
        service.start()
        yield service
        service.kill()


def uploaded(client: openai.OpenAI, content: bytes) -> str:
    return client.files.create(file=("in.jsonl", content), purpose="batch").id


def refused(call: Callable[[], object]) -> None:
    """What is refused for want of room is refused so; the client may not come again by itself."""
    with pytest.raises(openai.InternalServerError) as caught:
        call()
    check_refusal(caught.value)


def check_refusal(error: openai.APIStatusError) -> None:
    assert (error.status_code, error.code) == (507, "storage_full")
    assert error.response.headers["x-should-retry"] == "false"


def until_refused(create: Callable[[], str]) -> list[str]:
    """The ids of what was created before it was refused: the database's log has some room of its own."""
    created: list[str] = []
    for _ in range(MOST_TRIES):
        try:
            created.append(create())
        except openai.InternalServerError as error:
            check_refusal(error)
            return created
    raise AssertionError("it was never refused")


def batch(client: openai.OpenAI, file: str, **metadata: str) -> str:
    made = client.batches.create(
        input_file_id=file, endpoint=CHAT, completion_window="24h", metadata=metadata
    )
    return made.id


def stored_chat(client: openai.OpenAI) -> str:
    return client.chat.completions.create(**HI, store=True, metadata={"pad": "x" * 500}).id


def ended(client: openai.OpenAI, batch_id: str) -> bool:
    return client.batches.retrieve(batch_id).status == "completed"


def found_well(service: Service, *, num_chats: int) -> None:
    """Every check passes, and each chat that was answered was counted once."""
    with Database.open(f"sqlite:///{service.folder / 'pennyweight.db'}") as database:
        assert [verdict for verdict in verify(database, service.folder) if verdict.findings] == []
        rows = database.read_now(lambda link: kept_usage(link, "default"))
    assert sum(row.outcome == "completed" and not row.batch for row in rows) == num_chats
    assert not list((service.folder / "incoming").iterdir())


def test_a_full_disk(service: Service) -> None:
    client, disk = service.client, service.folder.parent
    lines = jsonl(chat_line(1))
    file, first = uploaded(client, lines), stored_chat(client)
    pad = {f"{number}": "x" * 512 for number in range(16)}
    filler = fill_up(disk)
    refused(lambda: uploaded(client, bytes(300_000)))
    batches = until_refused(lambda: batch(client, file, **pad))
    chats = until_refused(lambda: stored_chat(client))
    refused(lambda: batch(client, file, **pad))
    assert client.files.content(file).read() == lines, "reading goes on"
    for _ in range(3):
        assert client.chat.completions.create(**HI).usage is not None, "and answering"
    filler.unlink()
    eventually(lambda: all(ended(client, one) for one in batches))
    assert client.files.content(uploaded(client, bytes(300_000))).read() == bytes(300_000)
    later = batch(client, file, **pad)
    chats += [first, stored_chat(client)]
    assert {client.chat.completions.retrieve(chat).id for chat in chats} == set(chats)
    eventually(lambda: ended(client, later))
    service.stop()
    found_well(service, num_chats=len(chats) + 3)


def test_a_server_killed_on_a_full_disk_starts_again(service: Service) -> None:
    client = service.client
    file = uploaded(client, jsonl(chat_line(1)))
    filler = fill_up(service.folder.parent)
    chats = until_refused(lambda: stored_chat(client))
    service.kill()
    filler.unlink()
    service.start()
    assert {client.chat.completions.retrieve(chat).id for chat in chats} == set(chats)
    assert client.files.retrieve(file).id == file
    service.stop()


def test_a_folder_that_may_not_be_written_to(model: Path, tmp_path: Path) -> None:
    """Root writes anywhere, unless it gives up that right."""
    before: list[str] = []
    if os.geteuid() == 0:
        if (setpriv := shutil.which("setpriv")) is None:
            pytest.skip("root cannot give up its rights here: setpriv is not installed")
        before = [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
    service = Service(model, tmp_path / "data", before=before)
    service.start()
    try:
        client, closed = service.client, [service.folder / name for name in ("incoming", "blobs")]
        for folder in closed:
            folder.chmod(0o500)
        refused(lambda: uploaded(client, bytes(1000)))
        assert client.chat.completions.create(**HI).usage is not None
        for folder in closed:
            folder.chmod(0o700)
        uploaded(client, bytes(1000))
        service.stop()
        found_well(service, num_chats=1)
    finally:
        service.kill()
