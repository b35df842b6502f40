"""Writes a second that the store makes durable, by the number of writers that wait at the same time.

Every write is a transaction of one row, acknowledged after its commit is on the disk.

    python -m benchmarks.store_writes --database postgresql://...
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from pennyweight.store.database import Database
from pennyweight.store.projects import Projects

WRITERS = (1, 32, 200)
SECONDS = 2.0
ROUNDS = 3


def measure(url: str, *, writers: int, seconds: float = SECONDS) -> float:
    """Writes a second with as many writers, each waiting for its own before the next."""
    with Database.open(url) as database:
        return asyncio.run(_measure(database, writers, seconds))


async def _measure(database: Database, writers: int, seconds: float) -> float:
    done = 0
    started_s = time.perf_counter()

    async def write() -> None:
        nonlocal done
        while time.perf_counter() < started_s + seconds:
            await database.write(lambda connection: Projects().create(connection, name="a project", now=0))
            done += 1

    await asyncio.gather(*(write() for _ in range(writers)))
    return done / (time.perf_counter() - started_s)


def sync_rate(folder: Path, *, seconds: float = 1.0) -> float:
    """Syncs a second of this disk, for a page appended each time: the most that commits can come to."""
    number = 0
    with (folder / "syncs").open("wb", buffering=0) as file:
        started_s = time.perf_counter()
        while time.perf_counter() < started_s + seconds:
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            number += 1
        return number / (time.perf_counter() - started_s)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", help="a URL; by default a new SQLite file")
    parser.add_argument("--folder", type=Path, help="where that file is; by default among temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        url = arguments.database or f"sqlite:///{folder}/measured.db"
        rates = {n: [measure(url, writers=n) for _ in range(ROUNDS)] for n in WRITERS}
        figures = {
            str(n): [round(low), round(median(some)), round(high)]
            for n, some in rates.items()
            for low, high in [(min(some), max(some))]
        }
        print(json.dumps({"syncs_per_s": round(sync_rate(Path(folder))), "writes_per_s": figures}, indent=2))


if __name__ == "__main__":
    main()
