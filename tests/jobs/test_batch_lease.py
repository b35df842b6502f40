"""A batch's lease is kept while somebody works on it, and let go at whatever moment that ends."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from pennyweight.config import Settings
from pennyweight.jobs.batch_input import InputLimits
from pennyweight.jobs.batch_run import BatchRun, Bench, Workshop
from pennyweight.jobs.line_places import LinePlaces
from pennyweight.jobs.lines_under_way import LinesUnderWay
from pennyweight.server.services import open_services
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.batches import Batches, NewBatch
from pennyweight.store.blob import Blob
from pennyweight.store.change_stamp import ChangeStamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Iterator[BatchRun]:
    """Of a batch that was just claimed."""
    with (
        open_services(Settings(data=str(tmp_path / "data"))) as services,
        LinesUnderWay(tmp_path / "under-way") as under_way,
    ):
        database, now = services.database, int(time.time())
        new = NewBatch(
            id="batch_a",
            project_id="default",
            key_id=None,
            endpoint="/v1/completions",
            input_file_id="file-a",
            created_at=now,
            expires_at=now + 100,
        )
        blob = Blob(project_id="default", sha256=64 * "0", num_bytes=3)
        database.write_now(lambda c: Batches().add(c, new, blob))
        claimed = database.write_now(lambda c: BatchClaims().claim(c, owner="w", now=now, lease_s=30))
        assert claimed is not None
        workshop = Workshop(
            database=database,
            blobs=services.blobs,
            endpoints={},
            check_model=lambda *_: "",
            limits=InputLimits(),
            accounts=services.accounts,
            under_way=tmp_path / "under-way",
        )
        stamp = ChangeStamp(database.url)
        bench = Bench(stamp=stamp, places=LinePlaces(1), under_way=under_way, lease_s=30)
        yield BatchRun(workshop, bench, *claimed)
        stamp.close()


@pytest.mark.parametrize("turns", range(5))
def test_work_that_ends_with_news_ends(run: BatchRun, turns: int) -> None:
    """However far the news has come: a cancel that is lost keeps a server with a batch from stopping."""

    async def main() -> None:
        async with asyncio.timeout(20), run._leased():
            for _ in range(3):  # until the lease's keeper waits
                await asyncio.sleep(0)
            run.look()
            for _ in range(turns):
                await asyncio.sleep(0)

    asyncio.run(main())
