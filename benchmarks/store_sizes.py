"""What a store takes: bytes of each kind of row beside its own texts, and durable writes a second.

python -m benchmarks.store --folder /var/lib/somewhere
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.core import Usage
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.batch_work import BatchWork, LineRow
from pennyweight.store.batches import Batches, NewBatch
from pennyweight.store.blobs import BlobStore
from pennyweight.store.database import Database
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.usage import UsageRow, UsageRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

NOW = 1_800_000_000
TEXT = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 400}]})
GROUP = 500


def usage_row(number: int) -> UsageRow:
    return UsageRow(
        request_id=new_id("req_"),
        ended_at=NOW + number,
        project_id=new_id("proj_"),
        key_id=new_id("key_"),
        kind="completions",
        endpoint="/v1/chat/completions",
        model_asked="gpt-4o-mini",
        model="smollm2-135m-instruct",
        outcome="completed",
        status=200,
        prompt_tokens=300,
        completion_tokens=60,
        queue_ms=1,
        ttft_ms=20,
        total_ms=600,
        cpu_us=900_000,
        price=81_000_000,
    )


def keep_chat(connection: Connection) -> None:
    new = NewGeneration(
        id=new_id("chatcmpl-"),
        kind="chat_completion",
        model="smollm2-135m-instruct",
        request=TEXT,
        metadata={},
        result=TEXT,
    )
    Generations().keep(connection, "default", new, state=State.COMPLETED, now=NOW)


def bytes_of(path: Path, database: Database, num: int, work: Callable[[Connection, int], None]) -> float:
    """Growth of the file for each of `num` rows, with its part of the indexes."""

    def some(connection: Connection, start: int) -> None:
        for number in range(start, min(start + GROUP, num)):
            work(connection, number)

    def size() -> int:
        database.write_now(lambda link: link.exec_driver_sql("PRAGMA user_version = 0"))
        with Database.open(f"sqlite:///{path}") as other:
            other.read_now(lambda link: link.exec_driver_sql("PRAGMA wal_checkpoint(FULL)").all())
        return path.stat().st_size

    before = size()
    for start in range(0, num, GROUP):
        database.write_now(lambda link, start=start: some(link, start))  # type: ignore[misc]
    return (size() - before) / num


def begun_batch(database: Database, folder: Path) -> Callable[[Connection, int], None]:
    """A batch under way, and what adds a line to it."""
    blobs, id_ = BlobStore(folder, database), new_id("batch_")
    with blobs.receive("default", max_bytes=9) as incoming:
        incoming.write(b"x")
        blob = incoming.finish()
        new = NewBatch(
            id=id_,
            project_id="default",
            key_id=None,
            endpoint="/v1/chat/completions",
            input_file_id="file-x",
            created_at=NOW,
            expires_at=NOW + 86_400,
        )
        database.write_now(lambda link: Batches().add(link, new, blob))
    claimed = database.write_now(lambda link: BatchClaims().claim(link, owner="w", now=NOW, lease_s=30))
    assert claimed is not None
    _, lease = claimed
    work = BatchWork()
    database.write_now(lambda link: work.begin(link, lease, model="m", num_lines=10**6, now=NOW))

    def add(connection: Connection, number: int) -> None:
        row = LineRow(line=number, succeeded=True, result=TEXT.encode(), usage=Usage(prompt_tokens=1))
        work.add_lines(connection, lease, [row])

    return add


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "pennyweight.db"
        with Database.open(f"sqlite:///{path}") as database:
            usage, chat = UsageRows(), len(TEXT) * 2
            rows = bytes_of(path, database, 20_000, lambda link, n: usage.add(link, [usage_row(n)]))
            chats = bytes_of(path, database, 5_000, lambda link, _: keep_chat(link))
            lines = bytes_of(path, database, 5_000, begun_batch(database, Path(name)))
    print(f"a row of usage: {rows:.0f} bytes")
    print(f"a stored chat: {chats - chat:.0f} bytes beside {chat} of its texts")
    print(f"an answered line of a running batch: {lines - len(TEXT):.0f} beside {len(TEXT)} of its text")


if __name__ == "__main__":
    main()
