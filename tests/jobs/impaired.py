"""`penny` with something wrong with it: `python impaired.py WRONG... -- python -m pennyweight serve ...`.

Each `WRONG` names a function here. What it changes is the occasion, a crash or a clock; all else is real.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

DEADLY = "deadly"
"""Part of a `custom_id`: where lines are deadly, those that have it end the process."""


def deadly_lines() -> None:
    """As a defect in native code would: at once, without a word to Python."""
    from pennyweight.jobs.line_runner import _LineRunner

    attempt = _LineRunner._attempt

    async def attempted(self: Any, line: Any, asker: Any, attempts: int) -> Any:
        if DEADLY in line.custom_id and self._ledger.refusal(line) is None:
            os.abort()
        return await attempt(self, line, asker, attempts)

    _LineRunner._attempt = attempted  # type: ignore[method-assign]


def deadly_input() -> None:
    """Reading the input of a batch ends the process."""
    from pennyweight.jobs import batch_run

    def read(*_: Any, **__: Any) -> Any:
        os.abort()

    batch_run.read_input = read


def short_turns() -> None:
    """One batch at a time, and its turn is over when another project waits."""
    from functools import partial

    from pennyweight.jobs import batch_turns, batch_worker

    batch_worker.MAX_BATCHES = 1  # type: ignore[misc]
    batch_worker._POLL_S = 0.05  # type: ignore[misc]
    batch_worker.to_put_down = partial(batch_turns.to_put_down, turn_s=0.0)


def no_files() -> None:
    """The files a batch ends with cannot be written, and that is tried once."""
    from pennyweight.jobs import batch_worker
    from pennyweight.jobs.batch_ending import BatchEnding

    def enter(*_: Any, **__: Any) -> None:
        raise RuntimeError("a defect")

    batch_worker.MAX_FAILURES = 1  # type: ignore[misc]
    BatchEnding.enter = enter  # type: ignore[method-assign]


def hurried_renewals() -> None:
    """Leases of answers are renewed all the time."""
    from pennyweight.jobs import generation_worker

    generation_worker._RENEWED_S = 0.001  # type: ignore[misc]


def no_answers() -> None:
    """What is asked in the background cannot be answered for now."""
    from pennyweight.errors import StorageFullError
    from pennyweight.history.response_work import ResponseWork
    from pennyweight.jobs import generation_worker

    async def answer(*_: Any, **__: Any) -> None:
        raise StorageFullError("The disk is full.")

    generation_worker._POLL_S = 0.01  # type: ignore[misc]
    ResponseWork.answer = answer  # type: ignore[method-assign]


def endless_answers() -> None:
    """What is asked in the background is being answered until the server stops."""
    import asyncio

    from pennyweight.history.response_work import ResponseWork

    async def answer(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    ResponseWork.answer = answer  # type: ignore[method-assign]


def tidies_all_the_time() -> None:
    """What is too old is looked for twenty times a second."""
    from pennyweight.store import retention

    retention._INTERVAL_S = 0.05  # type: ignore[misc]


def old_leases() -> None:
    """Whoever reads a file has to renew the lease at once."""
    import time

    from pennyweight.store.ingestion_work import IngestionWork

    claim = IngestionWork.claim

    def claimed(*args: Any, **keywords: Any) -> Any:
        work = claim(*args, **keywords)
        return work and replace(work, lease=replace(work.lease, expires_at=int(time.time())))

    IngestionWork.claim = claimed  # type: ignore[method-assign]


def reading_is_stopped() -> None:
    """As a server that stops does with the files it is reading."""
    from pennyweight.retrieval import ingestion

    def run(*_: Any) -> None:
        raise ingestion._StoppingError

    ingestion.FileReading.run = run  # type: ignore[method-assign]


def stand_in_trainer() -> None:
    """Fine-tuning learns nothing, and goes as it would."""
    from pathlib import Path

    from pennyweight.jobs.trainer_process import Trainer

    script = str(Path(__file__).with_name("stand_in_trainer.py"))
    trainer = Trainer(command=(sys.executable, script))
    Trainer.here = lambda: trainer  # type: ignore[method-assign]


def hurried_tuning() -> None:
    """Leases of fine-tuning are renewed all the time."""
    from dataclasses import replace as replaced

    from pennyweight.jobs import tuning_worker

    init = tuning_worker.TuningWorker.__init__

    def made(self: Any, shop: Any, **options: Any) -> None:
        init(self, replaced(shop, lease_s=0), **options)

    tuning_worker.TuningWorker.__init__ = made  # type: ignore[method-assign]


def tidy_at_once() -> None:
    """The text index is put in order without waiting."""
    from pennyweight.retrieval import ingestion

    ingestion._TIDY_S = 0.0  # type: ignore[misc]


def every_use_noted() -> None:
    """A vector store's last use is written down each time."""
    from pennyweight.retrieval import search

    search._USED_AGAIN_S = 0  # type: ignore[misc]


def main() -> None:
    from pennyweight.cli.app import main as penny

    end = sys.argv.index("--")
    for name in sys.argv[1:end]:
        globals()[name]()
    sys.argv = sys.argv[end + 3 :]  # behind `python -m`
    penny()


if __name__ == "__main__":
    main()
