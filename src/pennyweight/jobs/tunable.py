"""Which models can be tuned: those that run here, by their names and aliases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.served import AnsweringModel
from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.served_models import ServedModels


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """A model `asked` for by `project`: the `name` it is served by, its file or installed name."""

    project: str
    asked: str
    name: str
    source: str


class TunableModels:
    """`sources` are the files or installed names of the models that run here, by the names served."""

    def __init__(self, served: ServedModels, sources: Mapping[str, str]) -> None:
        self._served = served
        self._sources = sources

    def __call__(self, asked: str, project: str) -> Tunable:
        """Raises ModelNotFoundError; InvalidRequestError for a model that answers and cannot be tuned."""
        model = self._served.resolve(asked, AnsweringModel, project)
        source = self._sources.get(model.name)
        if source is None:
            raise InvalidRequestError(
                f"'{asked}' cannot be fine-tuned here: it runs elsewhere, or was fine-tuned itself. "
                f"Choose one of {', '.join(self._sources)}.",
                param="model",
            )
        return Tunable(project=project, asked=asked, name=model.name, source=source)
