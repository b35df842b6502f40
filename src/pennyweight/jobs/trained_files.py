"""What a trainer leaves in its folder becomes what is served: bytes first, then the row that uses them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import PennyweightError
from pennyweight.jobs.tuning_names import tuned_name
from pennyweight.store.files import StoredFile
from pennyweight.store.identifiers import new_id
from pennyweight.store.tuned_models import StoredModel
from pennyweight.store.tuning_job import adapter_identity
from pennyweight.store.tuning_work import Result, TrainedModel, TuningWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pennyweight.store.blob import Blob
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob
    from pennyweight.store.tuning_work import Progress
    from pennyweight.store.usage import UsageRow

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
CARD: Final = "README.md"
_CHUNK_BYTES: Final = 2**20
_NO_LIMIT: Final = 2**62


class TrainedFilesError(PennyweightError):
    """The trainer left something else than it said."""


class TrainedFiles:
    """Of one claimed job. Blocks: for a thread. Methods raise LeaseLostError, StorageFullError.

    What they return goes to `BlobStore.collect`.
    """

    def __init__(self, database: Database, blobs: BlobStore, job: TuningJob, lease: TuningLease) -> None:
        self._database = database
        self._blobs = blobs
        self._job = job
        self._lease = lease
        self._work = TuningWork()

    def keep_checkpoint(self, folder: Path, step: int, metrics: Mapping[str, Any]) -> list[Blob]:
        """Serve what is in `folder` as the checkpoint at `step`."""
        with self._adapter(folder, step, metrics, name=tuned_name(self._job, step=step)) as trained:
            now = int(time.time())
            return self._database.write_now(
                lambda c: self._work.add_checkpoint(c, self._lease, trained, now=now),
                at="tuning_job.checkpointed",
            )

    def keep_result(
        self,
        folder: Path,
        metrics_file: Path,
        *,
        step: int,
        metrics: Mapping[str, Any],
        progress: Progress,
        usage: UsageRow,
    ) -> list[Blob]:
        """Serve what is in `folder` as the job's model; the job has succeeded with that."""
        named = tuned_name(self._job)
        with self._adapter(folder, step, metrics, name=named) as trained, self._blob(metrics_file) as blob:
            now = int(time.time())
            file = StoredFile(
                id=new_id("file-"),
                project_id=self._job.project_id,
                filename=metrics_file.name,
                purpose="fine-tune-results",
                num_bytes=blob.num_bytes,
                created_at=now,
            )
            result = Result(trained=trained, metrics_file=file, metrics_blob=blob, progress=progress)
            return self._database.write_now(
                lambda c: self._work.succeed(c, self._lease, result, usage, now=now),
                at="tuning_job.succeeded",
            )

    @contextmanager
    def _adapter(
        self, folder: Path, step: int, metrics: Mapping[str, Any], *, name: str
    ) -> Iterator[TrainedModel]:
        """Its bytes are durable, and stay while this is open."""
        job, card = self._job, folder / CARD
        config = _read(folder / CONFIG)
        with self._blob(folder / WEIGHTS) as weights:
            model = StoredModel(
                name=name,
                project_id=job.project_id,
                job_id=job.id,
                base=job.model,
                identity=adapter_identity(config, weights.sha256),
                config=config,
                card=_read(card) if card.exists() else "",
                step=None if name == tuned_name(job) else step,
                created_at=int(time.time()),
            )
            yield TrainedModel(model=model, weights=weights, step=step, metrics=metrics)

    @contextmanager
    def _blob(self, path: Path) -> Iterator[Blob]:
        with self._blobs.receive(self._job.project_id, max_bytes=_NO_LIMIT) as incoming:
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK_BYTES):
                        incoming.write(chunk)
            except FileNotFoundError as error:
                raise TrainedFilesError(f"the trainer left no {path}") from error
            yield incoming.finish()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainedFilesError(f"the trainer left no {path} that can be read: {error}") from error
