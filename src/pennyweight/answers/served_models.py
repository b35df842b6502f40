"""What this server serves under which names.

Code written against OpenAI asks for OpenAI's models: their names are aliases of what runs here, and the
answer's `model` says what ran. A model that a project has tuned is there for that project alone.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pennyweight.answers.principal import DEFAULT_PROJECT
from pennyweight.answers.served import AnsweringModel, EmbeddingModel, ServedModel
from pennyweight.answers.tuned import NO_TUNED
from pennyweight.errors import ConfigError, InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from pennyweight.answers.served import OpenModel
    from pennyweight.answers.tuned import TunedModel, TunedModels

M = TypeVar("M", bound=ServedModel)

TUNED_PREFIX = "ft:"
"""How the names of tuned models begin that nobody chose."""

OPENAI_ALIASES: Mapping[str, type[ServedModel]] = {
    "gpt-4o-mini": AnsweringModel,
    "gpt-4o-mini-2024-07-18": AnsweringModel,
    "text-embedding-3-small": EmbeddingModel,
}
"""Names that work without being asked for: each stands for the first model served of its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedAnsweringModel(AnsweringModel):
    """One that was tuned from `parent`, the name of another; it is opened with that."""

    parent: str

    def card(self) -> dict[str, Any]:
        return {**AnsweringModel.card(self), "parent": self.parent}


@asynccontextmanager
async def _open_tuned(base: AnsweringModel, tuned: TunedModel, patient: bool) -> AsyncIterator[OpenModel]:
    async with base.open(patient=patient) as model:
        if model.adapting is None:
            raise ModelNotFoundError(_base_is_missing(tuned), param="model")
        yield model.adapting(tuned)


def _base_is_missing(tuned: TunedModel) -> str:
    return (
        f"The model '{tuned.name}' was tuned from '{tuned.base}', which does not run here; start the server "
        f"with --model {tuned.base} too."
    )


class ServedModels:
    """The models of one server by name and alias, and those that projects have tuned."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        *,
        aliases: Mapping[str, str],
        tuned: TunedModels = NO_TUNED,
        forget: Callable[[str], None] | None = None,
    ) -> None:
        """`aliases` map names to models served, or to tuned ones. ConfigError if one maps to neither.

        A tuned model is told by its name, which begins with `ft:`, or by being there for everybody now.
        `forget` is told the adapter of each that is removed.
        """
        self._models: dict[str, ServedModel] = {}
        for model in models:
            if model.name in self._models:
                raise ConfigError(f"two models are served as {model.name!r}; give one another name")
            self._models[model.name] = model
        self._tuned = tuned
        self._forget = forget
        self._aliases: dict[str, ServedModel] = {}
        for alias, kind in OPENAI_ALIASES.items():
            if found := next((model for model in models if isinstance(model, kind)), None):
                self._aliases[alias] = found
        self._tuned_aliases: dict[str, str] = {}
        for alias, name in aliases.items():
            if name in self._models:
                self._aliases[alias] = self._models[name]
            elif name.startswith(TUNED_PREFIX) or self._tuned.find(name, DEFAULT_PROJECT) is not None:
                self._aliases.pop(alias, None)
                self._tuned_aliases[alias] = name
            else:
                message = f"the alias {alias!r} stands for {name!r}, which is not served; "
                raise ConfigError(f"{message}served are {', '.join(self._models)}")

    def resolve(self, name: str, kind: type[M], project: str) -> M:
        """What `name` stands for in `project`.

        Raises ModelNotFoundError; InvalidRequestError if it is of another kind.
        """
        model = self._find(name, project)
        if not isinstance(model, kind):
            message = f"The model '{name}' gives {model.gives}, not {kind.gives}; choose another one."
            raise InvalidRequestError(message, param="model")
        return model

    def named_or_first(self, name: str | None, kind: type[M], project: str) -> M:
        """As `resolve`; None: the first of its kind. Raises ModelNotFoundError if there is none."""
        if name is not None:
            return self.resolve(name, kind, project)
        for model in self._models.values():
            if isinstance(model, kind):
                return model
        raise ModelNotFoundError(f"No model that gives {kind.gives} is served here.", param="model")

    def name_of(self, name: str) -> str:
        """The model that `name` stands for; of one that is not served any more, its name."""
        model = self._models.get(name) or self._aliases.get(name)
        return self._tuned_aliases.get(name, name) if model is None else model.name

    def cards(self, project: str) -> list[dict[str, Any]]:
        """OpenAI's model objects of all names; `root` of an alias is the model that runs."""
        own = [model.card() for model in self._models.values()]
        own += [self.card(alias, project) for alias in self._aliases if alias not in self._models]
        own += self._tuned_cards(project)
        return own

    def card(self, name: str, project: str) -> dict[str, Any]:
        """OpenAI's model object of a model or an alias. Raises ModelNotFoundError."""
        model = self._find(name, project)
        return model.card() if name == model.name else {**model.card(), "id": name, "root": model.name}

    async def remove(self, name: str, project: str) -> None:
        """The tuned model `name` exists no more; answers under way are finished.

        Raises ModelNotFoundError, InvalidRequestError for a model that was not tuned here.
        """
        model = self._find(name, project)
        if not isinstance(model, TunedAnsweringModel):
            message = f"The model '{model.name}' was not tuned here; only those that were can be deleted."
            raise InvalidRequestError(message, param="model")
        if model.name != name:
            message = f"'{name}' is another name of '{model.name}'; delete that one."
            raise InvalidRequestError(message, param="model")
        tuned = self._tuned.find(name, project)
        await self._tuned.remove(name, project)
        if tuned is not None and self._forget is not None:
            self._forget(tuned.adapter)

    def _is_served(self, name: str) -> bool:
        return name in self._models or name in self._aliases

    def _tuned_cards(self, project: str) -> Iterable[dict[str, Any]]:
        """Of tuned models whose base runs here, and of the aliases that stand for them."""
        found = {model.name: model for model in self._tuned.list(project)}
        for tuned in found.values():
            if not self._is_served(tuned.name) and (model := self._over_base(tuned)) is not None:
                yield model.card()
        for alias, name in self._tuned_aliases.items():
            if name in found and (model := self._over_base(found[name])) is not None:
                yield {**model.card(), "id": alias, "root": name}

    def _find(self, name: str, project: str) -> ServedModel:
        model = self._models.get(name) or self._aliases.get(name)
        if model is not None:
            return model
        tuned = self._tuned.find(self._tuned_aliases.get(name, name), project)
        if tuned is None:
            raise ModelNotFoundError(self._unknown(name, project), param="model")
        model = self._over_base(tuned)
        if model is None:
            raise ModelNotFoundError(_base_is_missing(tuned), param="model")
        return model

    def _over_base(self, tuned: TunedModel) -> TunedAnsweringModel | None:
        """None: its base does not run here."""
        base = self._models.get(tuned.base) or self._aliases.get(tuned.base)
        if not isinstance(base, AnsweringModel) or base.residence is None:
            return None
        return TunedAnsweringModel(
            name=tuned.name,
            created=tuned.created,
            owner=tuned.owner,
            opening=partial(_open_tuned, base, tuned),
            residence=base.residence,
            parent=base.name,
        )

    def _unknown(self, name: str, project: str) -> str:
        known = [*self._models, *self._aliases, *(tuned.name for tuned in self._tuned.list(project))]
        nearest = get_close_matches(name, known, n=1, cutoff=0.7)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"this server serves {', '.join(known)}."
        remedy = "To let this name stand for one of them, start it with --alias NAME=MODEL."
        return f"The model '{name}' does not exist here; {hint} {remedy}"
