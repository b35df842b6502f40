"""Fine-tuning without a server: the same store and the same worker, in this process.

Beside a server of the same data folder the job is left to that server, and only followed.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ConfigError, ModelNotFoundError, NotFoundError
from pennyweight.jobs.new_tuning_job import add_tuning_job
from pennyweight.jobs.trained_files import CARD, CONFIG, WEIGHTS
from pennyweight.models.local import installed_paths
from pennyweight.store.blobs import BlobStore, keeping
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.identifiers import new_id
from pennyweight.store.projects import DEFAULT_PROJECT
from pennyweight.store.tuned_models import StoredModels
from pennyweight.store.tuning_events import TuningEvents
from pennyweight.store.tuning_jobs import TuningJobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.config import Settings
    from pennyweight.server.services import Services
    from pennyweight.store.database import Database
    from pennyweight.store.pages import Cursor
    from pennyweight.store.tuned_models import StoredModel
    from pennyweight.store.tuning_events import TuningEvent
    from pennyweight.store.tuning_job import Method, NewTuningJob, TuningJob

_CHUNK_BYTES: Final = 2**20
_MAX_BYTES: Final = 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningDesk:
    """`services` None: a server has the data folder, and trains what is made here."""

    folder: Path
    database: Database
    blobs: BlobStore
    services: Services | None

    def check(self, method: Method) -> None:
        """Raise ConfigError if nobody would train a job of this method."""
        if method == "grpo" and self.services is None:
            raise ConfigError(
                f"a server has the folder {self.folder}, and servers do not run the programs of rewards; "
                "stop it, or give another folder with --data"
            )

    def add_file(self, path: Path) -> str:
        """The id of a new file for fine-tuning with the bytes of `path`."""
        now = int(time.time())
        with (
            keeping(self.folder / "blobs"),
            self.blobs.receive(DEFAULT_PROJECT, max_bytes=_MAX_BYTES) as incoming,
            path.open("rb") as source,
        ):
            while chunk := source.read(_CHUNK_BYTES):
                incoming.write(chunk)
            blob = incoming.finish()
            file = StoredFile(
                id=new_id("file-"),
                project_id=DEFAULT_PROJECT,
                filename=path.name,
                purpose="fine-tune",
                num_bytes=blob.num_bytes,
                created_at=now,
            )
            self.database.write_now(lambda c: Files().add(c, file, blob), at="file.added")
        return file.id

    def add_job(self, new: NewTuningJob) -> TuningJob:
        return self.database.write_now(lambda c: add_tuning_job(c, new, ()), at="tuning_job.added")

    def job(self, job_id: str) -> TuningJob:
        """Raises NotFoundError."""
        return self.database.read_now(lambda c: TuningJobs().get(c, DEFAULT_PROJECT, job_id))

    def jobs(self, cursor: Cursor) -> list[TuningJob]:
        page = self.database.read_now(lambda c: TuningJobs().page(c, DEFAULT_PROJECT, cursor, metadata={}))
        return page.items

    def events(self, job_id: str, cursor: Cursor) -> list[TuningEvent]:
        return self.database.read_now(lambda c: TuningEvents().page(c, job_id, cursor)).items

    def pause(self, job_id: str) -> TuningJob:
        now = int(time.time())
        return self.database.write_now(
            lambda c: TuningJobs().pause(c, DEFAULT_PROJECT, job_id, now=now), at="tuning_job.paused"
        )

    def resume(self, job_id: str) -> TuningJob:
        now = int(time.time())
        return self.database.write_now(
            lambda c: TuningJobs().resume(c, DEFAULT_PROJECT, job_id, now=now), at="tuning_job.resumed"
        )

    def copy_model(self, name: str, target: Path) -> StoredModel:
        """Make `target` the PEFT folder of a model. Raises ModelNotFoundError, OSError."""
        models = StoredModels()
        model = self.database.read_now(lambda c: models.get(c, DEFAULT_PROJECT, name))
        weights = self.database.read_now(lambda c: models.weights(c, model))
        target.mkdir(parents=True, exist_ok=True)
        (target / CONFIG).write_text(model.config, encoding="utf-8")
        (target / CARD).write_text(model.card, encoding="utf-8")
        shutil.copyfile(self.blobs.path(weights), target / WEIGHTS)
        return model

    def base_of(self, model: StoredModel) -> str:
        """What its base is opened by: the file it was trained from while that is there, else its name.

        Raises ModelNotFoundError if it is neither there nor installed.
        """
        try:
            source = self.job(model.job_id).source
        except NotFoundError:  # jobs are forgotten before what they made
            return model.base
        is_path = os.sep in source or source.endswith(".gguf")
        if not is_path or Path(source).exists():
            return source
        if model.base in installed_paths():
            return model.base
        raise ModelNotFoundError(
            f"{model.name} was trained from {source}, which is not there any more; put it back, or make it "
            f"known with `penny models add {model.base} PATH`",
            param="model",
        )


@contextmanager
def tuning_desk(settings: Settings, *, works: bool) -> Iterator[TuningDesk]:
    """`works`: unless a server has the folder, a job is to be trained here. Raises ConfigError."""
    from pennyweight.server.services import open_services
    from pennyweight.store.database import Database

    folder = DataFolder.open(settings.data) if works else DataFolder.find(settings.data)
    if works and not folder.is_served:
        with open_services(settings) as services:
            yield TuningDesk(
                folder=folder.path, database=services.database, blobs=services.blobs, services=services
            )
        return
    url = settings.database or folder.kept_database_url
    with Database.open(url) as database, ExitStack() as stack:
        own = f"incoming-{os.getpid()}"
        stack.callback(shutil.rmtree, folder.path / own, ignore_errors=True)
        blobs = BlobStore(folder.path, database, incoming=own)
        yield TuningDesk(folder=folder.path, database=database, blobs=blobs, services=None)
