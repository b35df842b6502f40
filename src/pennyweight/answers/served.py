"""What this server serves under which names, as routes see it.

Code written against OpenAI asks for OpenAI's models: their names are aliases of what runs here, and the
answer's `model` says what ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pennyweight.errors import ConfigError, InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Task = Literal["answers", "embeddings"]

OPENAI_ALIASES: dict[str, Task] = {
    "gpt-4o-mini": "answers",
    "gpt-4o-mini-2024-07-18": "answers",
    "text-embedding-3-small": "embeddings",
}
"""Names that work without being asked for: each stands for the first model served for its task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model: `created` is in seconds since 1970, `fingerprint` changes when its answers could."""

    name: str
    created: int
    fingerprint: str
    task: Task = "answers"

    def card(self) -> dict[str, Any]:
        """OpenAI's model object."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": "pennyweight"}


class ServedModels:
    """The models of one server by name and alias."""

    def __init__(self, models: Sequence[ServedModel], *, aliases: Mapping[str, str]) -> None:
        """`aliases` map names to models served. ConfigError if one maps to something else."""
        self._models = {model.name: model for model in models}
        self._aliases: dict[str, ServedModel] = {}
        for alias, task in OPENAI_ALIASES.items():
            if model := next((model for model in models if model.task == task), None):
                self._aliases[alias] = model
        for alias, name in aliases.items():
            if name not in self._models:
                message = f"the alias {alias!r} stands for {name!r}, which is not served; "
                raise ConfigError(f"{message}served are {', '.join(self._models)}")
            self._aliases[alias] = self._models[name]

    def resolve(self, name: str, *, task: Task | None = None) -> ServedModel:
        """What `name` stands for. Raises ModelNotFoundError; InvalidRequestError if it does another task."""
        model = self._models.get(name) or self._aliases.get(name)
        if model is None:
            raise self._unknown(name)
        if task is not None and model.task != task:
            message = f"The model '{name}' gives {model.task}, not {task}; choose another one."
            raise InvalidRequestError(message, param="model")
        return model

    def cards(self) -> list[dict[str, Any]]:
        """OpenAI's model objects of all names; `root` of an alias is the model that runs."""
        own = [model.card() for model in self._models.values()]
        return own + [self.card(alias) for alias in self._aliases if alias not in self._models]

    def card(self, name: str) -> dict[str, Any]:
        """OpenAI's model object of a model or an alias. Raises ModelNotFoundError."""
        model = self.resolve(name)
        return model.card() if name == model.name else {**model.card(), "id": name, "root": model.name}

    def _unknown(self, name: str) -> ModelNotFoundError:
        known = [*self._models, *self._aliases]
        nearest = get_close_matches(name, known, n=1, cutoff=0.7)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"this server serves {', '.join(known)}."
        remedy = "To let this name stand for one of them, start it with --alias NAME=MODEL."
        return ModelNotFoundError(f"The model '{name}' does not exist here; {hint} {remedy}", param="model")
