"""Models made by fine-tuning, as they are served: `TunedModels` over the store and its blobs."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

from pennyweight.answers.tuned import TunedModel
from pennyweight.errors import ModelFileError
from pennyweight.jobs.tuning_names import ORGANIZATION, PREFIX
from pennyweight.models.adapter.files import AdapterFiles
from pennyweight.store.tuned_models import StoredModels

if TYPE_CHECKING:
    import builtins

    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database
    from pennyweight.store.tuned_models import StoredModel


class TunedShelf:
    """For any thread. A model of another project is not there."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._models = StoredModels()

    def find(self, name: str, project: str) -> TunedModel | None:
        """Only names that fine-tuning makes are looked up: a tenth of a millisecond."""
        if not name.startswith(PREFIX) or "\0" in name:
            return None
        model = self._database.read_now(lambda c: self._models.find(c, project, name))
        return None if model is None else self._tuned(model)

    def list(self, project: str) -> builtins.list[TunedModel]:
        """The project's, oldest first."""
        models = self._database.read_now(lambda c: self._models.all(c, project))
        return [self._tuned(model) for model in models]

    async def remove(self, name: str, project: str) -> None:
        """The adapter goes with its last name. Raises ModelNotFoundError."""
        unused = await self._database.write(
            lambda c: self._models.delete(c, project, name), at="tuned_model.deleted"
        )
        for blob in unused:
            await asyncio.to_thread(self._blobs.collect, blob)

    def _tuned(self, model: StoredModel) -> TunedModel:
        return TunedModel(
            name=model.name,
            base=model.base,
            adapter=model.identity,
            files=partial(self._files, model),
            created=model.created_at,
            owner=ORGANIZATION,
        )

    def _files(self, model: StoredModel) -> AdapterFiles:
        """Raises ModelFileError if it was deleted since."""
        found = self._database.read_now(lambda c: self._models.find(c, model.project_id, model.name))
        if found is None or found.identity != model.identity:
            raise ModelFileError(f"the model {model.name} was deleted")
        weights = self._database.read_now(lambda c: self._models.weights(c, found))
        config = json.loads(found.config)
        return AdapterFiles(name=model.name, config=config, weights=self._blobs.path(weights))
