"""Who is served when many batches wait, how many may, and what happens when running one goes wrong."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import openai
import pytest
from sqlalchemy import func, select

from pennyweight.errors import StorageFullError
from pennyweight.jobs import batch_run, batch_worker
from pennyweight.jobs.batch_ending import BatchEnding
from pennyweight.jobs.batch_turns import to_put_down
from pennyweight.jobs.batch_worker import BatchWorker
from pennyweight.server import app
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.blobs import BlobStore
from pennyweight.store.tables.batches import batches
from pennyweight.store.tables.usage import usage
from tests.jobs.requests import CHAT, jsonl
from tests.server.batching import chats, created, ended, lines_of, uploaded
from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types import Batch

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def narrow(engine: Engine) -> Iterator[LiveServer]:
    """Two batches a project, and not many bytes."""
    with live_server(engine, max_queued_batches=2, max_queued_batch_bytes=50_000) as server:
        yield server


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a lease of half a minute."""
    monkeypatch.setattr(batch_worker, "LEASE_S", 1)
    monkeypatch.setattr(batch_worker, "_POLL_S", 0.05)
    monkeypatch.setattr(batch_worker, "MAX_FAILURES", 2)


def long_chats(server: LiveServer, count: int) -> list[dict[str, Any]]:
    """So many that a batch of them is still running when others have been made."""
    return chats(server, count, max_tokens=300, ignore_eos=True)


def stop(client: openai.OpenAI, *running: Batch) -> None:
    for batch in running:
        client.batches.cancel(batch.id)
    for batch in running:
        assert ended(client, batch).status == "cancelled"


def test_a_queue_that_is_full_refuses_and_is_a_projects_own(narrow: LiveServer) -> None:
    mine, other = (narrow.client(new_key(narrow, new_project(narrow, name)).secret.text) for name in "ab")
    running = [created(mine, jsonl(*long_chats(narrow, 100))) for _ in range(2)]
    with pytest.raises(openai.RateLimitError, match=r"2 batches have not ended, limit 2") as caught:
        created(mine, jsonl(*chats(narrow, 1)))
    assert caught.value.code == "batch_queue_full"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in caught.value.response.headers
    assert ended(other, created(other, jsonl(*chats(narrow, 1)))).status == "completed"
    stop(mine, *running)
    assert ended(mine, created(mine, jsonl(*chats(narrow, 1)))).status == "completed"


def test_the_bytes_of_a_queue_are_limited(narrow: LiveServer) -> None:
    client = narrow.client(new_key(narrow, new_project(narrow)).secret.text)
    first = created(client, jsonl(*long_chats(narrow, 150)))
    file = uploaded(client, jsonl(*chats(narrow, 150)))
    with pytest.raises(openai.RateLimitError, match=r"bytes of input are queued, requested \d+, limit 50000"):
        client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    stop(client, first)
    batch = client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    assert ended(client, batch).status == "completed"


def test_many_that_ask_at_once_do_not_slip_through(narrow: LiveServer) -> None:
    client = narrow.client(new_key(narrow, new_project(narrow)).secret.text)
    file = uploaded(client, jsonl(*long_chats(narrow, 100)))
    made, refused = [], []

    def ask() -> None:
        try:
            made.append(client.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h"))
        except openai.RateLimitError as error:
            refused.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (2, 6)
    stop(client, *made)


def test_a_projects_one_batch_does_not_wait_for_anothers_many(engine: Engine) -> None:
    with live_server(engine) as server:
        many, one = (server.client(new_key(server, new_project(server, name)).secret.text) for name in "ab")
        file = uploaded(many, jsonl(*long_chats(server, 200)))
        flood = [
            many.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h") for _ in range(6)
        ]
        assert ended(one, created(one, jsonl(*chats(server, 20)))).status == "completed"
        assert not [each.id for each in map(_again(many), flood) if each.status == "completed"]
        stop(many, *flood)


def _again(client: openai.OpenAI) -> Any:
    return lambda batch: client.batches.retrieve(batch.id)


@pytest.mark.usefixtures("hasty")
def test_batches_that_take_turns_lose_and_repeat_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_worker, "MAX_BATCHES", 1)
    monkeypatch.setattr(batch_worker, "to_put_down", partial(to_put_down, turn_s=0))
    with live_server(engine) as server:
        clients = [server.client(new_key(server, new_project(server, name)).secret.text) for name in "ab"]
        raw = jsonl(*long_chats(server, 100))
        made = [(client, created(client, raw)) for client in clients]
        for client, batch in made:
            done = ended(client, batch)
            assert done.status == "completed"
            found = [line["custom_id"] for line in lines_of(client, done.output_file_id)]
            assert found == [f"r-{number}" for number in range(100)]
        database = server.services.database
        fences = database.read_now(lambda c: c.execute(select(batches.c.fence)).scalars().all())
        assert max(fences) > 1, "one of them was put down and taken up again"
        rows = select(func.count()).select_from(usage).where(usage.c.batch)
        assert database.read_now(lambda c: c.execute(rows).scalar_one()) == 200


@pytest.mark.usefixtures("hasty")
def test_a_defect_ends_a_batch_after_some_attempts_and_what_is_done_stays(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, calls = batch_run.keep_lines, []

    async def broken(*given: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError
        await keep(*given)

    monkeypatch.setattr(batch_run, "keep_lines", broken)
    with live_server(engine) as server, server.client() as client:
        batch = ended(client, created(client, jsonl(*chats(server, 600, max_tokens=40))))
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [each.code for each in batch.errors.data or []] == ["server_error"]
        assert batch.request_counts is not None
        assert 0 < len(lines_of(client, batch.output_file_id)) == batch.request_counts.completed < 600
        failures = select(batches.c.num_failures).where(batches.c.id == batch.id)
        assert server.services.database.read_now(lambda c: c.execute(failures).scalar_one()) == 2


@pytest.mark.usefixtures("hasty")
def test_a_batch_whose_files_cannot_be_written_fails_without_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(BatchEnding, "_written", broken)
    with live_server(engine) as server, server.client() as client:
        batch = ended(client, created(client, jsonl(*chats(server, 2))))
        assert (batch.status, batch.output_file_id) == ("failed", None)


@pytest.mark.usefixtures("hasty")
def test_a_defect_of_the_worker_itself_does_not_end_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, calls = BatchClaims.waits, []

    def broken_at_first(*given: Any, **named: Any) -> bool:
        calls.append(1)
        if len(calls) < 3:
            raise ZeroDivisionError
        return waits(*given, **named)

    monkeypatch.setattr(BatchClaims, "waits", broken_at_first)
    with live_server(engine) as server, server.client() as client:
        assert ended(client, created(client, jsonl(*chats(server, 2)))).status == "completed"


@pytest.mark.usefixtures("hasty")
def test_a_worker_whose_lease_could_not_be_renewed_goes_on_with_its_own(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFullError("the disk is full")

    monkeypatch.setattr(BatchClaims, "renew", full)
    with live_server(engine) as server, server.client() as client:
        batch = ended(client, created(client, jsonl(*long_chats(server, 200))))
        assert batch.status == "completed"
        fence = select(batches.c.fence).where(batches.c.id == batch.id)
        assert server.services.database.read_now(lambda c: c.execute(fence).scalar_one()) == 1


@pytest.mark.usefixtures("hasty")
def test_an_input_that_is_gone_fails_the_batch(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BlobStore, "open", _nothing_there)
    with live_server(engine) as server, server.client() as client:
        batch = ended(client, created(client, jsonl(*chats(server, 2))))
        assert batch.status == "failed"


@pytest.mark.usefixtures("hasty")
def test_an_input_of_another_servers_folder_is_left_to_that_server(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BlobStore, "open", _nothing_there)
    monkeypatch.setattr(app, "BatchWorker", lambda shop, **_: BatchWorker(shop, alone=False))
    with live_server(engine) as server, server.client() as client:
        batch = created(client, jsonl(*chats(server, 2)))
        row = select(batches).where(batches.c.id == batch.id)
        database = server.services.database

        def left() -> bool:
            found = database.read_now(lambda c: c.execute(row).one())
            return found.claimed_at is not None and found.lease_expires_at is None

        eventually(left)
        found = database.read_now(lambda c: c.execute(row).one())
        assert (found.state, found.num_failures, found.fence) == ("validating", 0, 2)


def _nothing_there(*_: object) -> None:
    raise FileNotFoundError
