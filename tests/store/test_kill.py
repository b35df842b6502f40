"""Killed in the middle of anything: what was acknowledged is there, and the store is well."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pennyweight.store.blob import BlobUses
from pennyweight.store.blobs import BlobStore
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.projects import Projects
from pennyweight.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

# Writes rows and blobs from many tasks at once, and prints what it was told is durable.
_BUSY = """
import asyncio, itertools, os, sys
from pennyweight.store.blob import BlobUses
from pennyweight.store.blobs import BlobStore
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.projects import Projects

def tell(line):
    os.write(1, f"{line}\\n".encode())  # one write: two threads tell

async def add_rows():
    while True:
        tell(await database.write(lambda c: Projects().create(c, name="x", now=1).id))

def add_blob(number):
    owner, content = f"file-{number}", b"%d" % (number // 2)  # two of each
    with blobs.receive("default", max_bytes=99) as incoming:
        incoming.write(content)
        blob = incoming.finish()
        database.write_now(lambda c: BlobUses().add(c, blob, owner_id=owner, now=1))
    tell(owner)
    if number >= 8:
        for gone in database.write_now(lambda c: BlobUses().drop(c, "default", f"file-{number - 8}")):
            blobs.collect(gone)

async def add_blobs():
    for number in itertools.count():
        await asyncio.to_thread(add_blob, number)

async def main():
    await asyncio.gather(add_blobs(), *(add_rows() for _ in range(20)))

folder = DataFolder.open(sys.argv[1])
with Database.open(folder.database_url) as database:
    blobs = BlobStore(folder.path, database)
    asyncio.run(main())
"""


@pytest.mark.parametrize("num_lines", [1, 37, 250, 600])
def test_killed_while_busy(tmp_path: Path, num_lines: int) -> None:
    folder = DataFolder.open(str(tmp_path / "data"))
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY, str(folder.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = [process.stdout.readline().strip() for _ in range(num_lines)]
    process.kill()
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    told += rest.splitlines()[:-1]  # the last line may be cut off
    with Database.open(folder.database_url) as database:
        BlobStore(folder.path, database).sweep()
        for project in told:
            if project.startswith("proj_"):
                database.read_now(lambda c, project=project: Projects().get(c, project))  # type: ignore[misc]
        last = max((int(name.removeprefix("file-")) for name in told if name.startswith("file-")), default=-1)
        for number in range(max(0, last - 6), last + 1):
            owner = f"file-{number}"
            blob = database.read_now(lambda c, owner=owner: BlobUses().of(c, "default", owner))  # type: ignore[misc]
            assert blob is not None
        assert all(not verdict.findings for verdict in verify(database, folder.path))
