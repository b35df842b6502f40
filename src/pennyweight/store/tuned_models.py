"""The repository of models made by fine-tuning: an adapter's bytes are a blob, all else is in the row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from pennyweight.errors import ModelNotFoundError
from pennyweight.store.blob import BlobUses
from pennyweight.store.idempotent_answers import forget_answers
from pennyweight.store.tables.tuning import tuned_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob

_of = tuned_models.c


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """An adapter as it was trained on `base`, a name served. `identity` is of its weights and configuration.

    `config` and `card` are the texts beside the weights; `step` None: the end of training.
    """

    name: str
    project_id: str
    job_id: str
    base: str
    identity: str
    config: str
    card: str
    step: int | None
    created_at: int


class StoredModels:
    """Names begin with `ft:` and are unique on the server; projects see their own alone."""

    def __init__(self) -> None:
        self._uses = BlobUses()

    def add(self, connection: Connection, model: StoredModel, weights: Blob) -> None:
        """Only while the blob's `IncomingBlob` is open."""
        connection.execute(insert(tuned_models).values(**asdict(model)))
        self._uses.add(connection, weights, owner_id=model.name, now=model.created_at)

    def find(self, connection: Connection, project_id: str, name: str) -> StoredModel | None:
        """None: the project has no such model (any more)."""
        own = (_of.project_id == project_id) & (_of.name == name)
        row = connection.execute(select(tuned_models).where(own)).one_or_none()
        return None if row is None else StoredModel(**row._mapping)

    def get(self, connection: Connection, project_id: str, name: str) -> StoredModel:
        """As `find`. Raises ModelNotFoundError."""
        model = self.find(connection, project_id, name)
        if model is None:
            raise ModelNotFoundError(f"The model '{name:.200}' does not exist here.", param="model")
        return model

    def all(self, connection: Connection, project_id: str) -> list[StoredModel]:
        """The project's, oldest first."""
        wanted = select(tuned_models).where(_of.project_id == project_id).order_by(_of.created_at, _of.name)
        return [StoredModel(**row._mapping) for row in connection.execute(wanted)]

    def of_job(self, connection: Connection, project_id: str, job_id: str) -> list[StoredModel]:
        """What a job has made, in the order of training."""
        own = (_of.project_id == project_id) & (_of.job_id == job_id)
        rows = connection.execute(select(tuned_models).where(own).order_by(_of.created_at, _of.step))
        return [StoredModel(**row._mapping) for row in rows]

    def weights(self, connection: Connection, model: StoredModel) -> Blob:
        """The adapter's bytes."""
        blob = self._uses.of(connection, model.project_id, model.name)
        assert blob is not None, "every tuned model has its weights"
        return blob

    def by_identity(self, connection: Connection, identity: str) -> StoredModel | None:
        """Any of the models that are this adapter: all of them have equal bytes."""
        found = select(tuned_models).where(_of.identity == identity).limit(1)
        row = connection.execute(found).one_or_none()
        return None if row is None else StoredModel(**row._mapping)

    def delete(self, connection: Connection, project_id: str, name: str) -> list[Blob]:
        """What it had is to be given to `BlobStore.collect` after the commit. Raises ModelNotFoundError."""
        self.get(connection, project_id, name)
        return self.drop(connection, project_id, [name])

    def drop(self, connection: Connection, project_id: str, names: Sequence[str]) -> list[Blob]:
        """As `delete`, of models that are there."""
        own = (_of.project_id == project_id) & _of.name.in_(names)
        connection.execute(delete(tuned_models).where(own))
        forget_answers(connection, names)
        return [blob for name in names for blob in self._uses.drop(connection, project_id, name)]
