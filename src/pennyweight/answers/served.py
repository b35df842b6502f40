"""What this server serves under which names, as routes see it.

Code written against OpenAI asks for OpenAI's models: their names are aliases of what runs here, and the
answer's `model` says what ran.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from pennyweight.errors import ConfigError, InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pennyweight.answers.answer import Answerer, AnswerSource
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.answers.options import Options


class OwnIds(Protocol):
    """Token ids of a request, in the model's own."""

    def options(self, options: Options, *, asked: str, served: str) -> Options: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """One model: `created` is in seconds since 1970."""

    gives: ClassVar[str]

    name: str
    created: int
    owner: str = "pennyweight"

    def card(self) -> dict[str, Any]:
        """OpenAI's model object."""
        return {"id": self.name, "object": "model", "created": self.created, "owned_by": self.owner}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTokens:
    """What is known of the tokens of a model that runs here; `chat_template` is the template's source."""

    answerer: Answerer
    foreign: ForeignIds
    chat_template: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenModel:
    """A model that is ready to answer; `fingerprint` changes when its answers could, if known.

    `local` None: it runs elsewhere.
    """

    name: str
    answers: AnswerSource
    ids: OwnIds
    fingerprint: str | None = None
    local: LocalTokens | None = None

    def in_own_ids(self, options: Options, *, asked: str) -> Options:
        """`options` of a request for `asked`, in this model's token ids. Raises InvalidRequestError."""
        return self.ids.options(options, asked=asked, served=self.name)

    @property
    def tokens(self) -> LocalTokens:
        """Raises InvalidRequestError if the model runs elsewhere."""
        if self.local is None:
            raise _elsewhere(self.name)
        return self.local


def _elsewhere(name: str) -> InvalidRequestError:
    message = (
        f"The model '{name}' runs elsewhere: its tokens are not known here. Ask it for chat completions or "
        "responses."
    )
    return InvalidRequestError(message, param="model")


Opening = AbstractAsyncContextManager[OpenModel]
"""A model that stays ready for as long as the context lasts."""
Residence = Literal["loaded", "loading", "unloaded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringModel(ServedModel):
    """A model that answers, here or elsewhere. It may have to be loaded first, which `opening` waits for."""

    gives: ClassVar[str] = "answers"

    opening: Callable[[bool], Opening]
    residence: Callable[[], Residence] | None = None  # None: it runs elsewhere

    @classmethod
    def always_open(cls, model: OpenModel, *, created: int, owner: str = "pennyweight") -> AnsweringModel:
        """One that needs no loading."""
        residence: Callable[[], Residence] | None = None if model.local is None else lambda: "loaded"
        return cls(
            name=model.name,
            created=created,
            owner=owner,
            opening=lambda _: nullcontext(model),
            residence=residence,
        )

    def open(self, *, patient: bool = False) -> Opening:
        """The model, ready. Entering waits while it is loaded: as long as it takes if `patient`.

        Raises what loading raises, and OverloadedError after the limit of an impatient wait.
        """
        return self.opening(patient)

    def check_local(self) -> None:
        """Raise InvalidRequestError if the model runs elsewhere."""
        if self.residence is None:
            raise _elsewhere(self.name)

    def card(self) -> dict[str, Any]:
        """OpenAI's model object; of a model here also whether it is in memory."""
        card = ServedModel.card(self)
        return card if self.residence is None else {**card, "status": {"value": self.residence()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel(ServedModel):
    """A model that turns texts into vectors."""

    gives: ClassVar[str] = "embeddings"


M = TypeVar("M", bound=ServedModel)

OPENAI_ALIASES: Mapping[str, type[ServedModel]] = {
    "gpt-4o-mini": AnsweringModel,
    "gpt-4o-mini-2024-07-18": AnsweringModel,
    "text-embedding-3-small": EmbeddingModel,
}
"""Names that work without being asked for: each stands for the first model served of its kind."""


class ServedModels:
    """The models of one server by name and alias."""

    def __init__(self, models: Sequence[ServedModel], *, aliases: Mapping[str, str]) -> None:
        """`aliases` map names to models served. ConfigError if one maps to something else."""
        self._models: dict[str, ServedModel] = {}
        for model in models:
            if model.name in self._models:
                raise ConfigError(f"two models are served as {model.name!r}; give one another name")
            self._models[model.name] = model
        self._aliases: dict[str, ServedModel] = {}
        for alias, kind in OPENAI_ALIASES.items():
            if found := next((model for model in models if isinstance(model, kind)), None):
                self._aliases[alias] = found
        for alias, name in aliases.items():
            if name not in self._models:
                message = f"the alias {alias!r} stands for {name!r}, which is not served; "
                raise ConfigError(f"{message}served are {', '.join(self._models)}")
            self._aliases[alias] = self._models[name]

    def resolve(self, name: str, kind: type[M]) -> M:
        """What `name` stands for. Raises ModelNotFoundError; InvalidRequestError if it is of another kind."""
        model = self._find(name)
        if not isinstance(model, kind):
            message = f"The model '{name}' gives {model.gives}, not {kind.gives}; choose another one."
            raise InvalidRequestError(message, param="model")
        return model

    def named_or_first(self, name: str | None, kind: type[M]) -> M:
        """As `resolve`; None: the first of its kind. Raises ModelNotFoundError if there is none."""
        if name is not None:
            return self.resolve(name, kind)
        for model in self._models.values():
            if isinstance(model, kind):
                return model
        raise ModelNotFoundError(f"No model that gives {kind.gives} is served here.", param="model")

    def name_of(self, name: str) -> str:
        """The model that `name` stands for; of one that is not served any more, its name."""
        model = self._models.get(name) or self._aliases.get(name)
        return name if model is None else model.name

    def cards(self) -> list[dict[str, Any]]:
        """OpenAI's model objects of all names; `root` of an alias is the model that runs."""
        own = [model.card() for model in self._models.values()]
        return own + [self.card(alias) for alias in self._aliases if alias not in self._models]

    def card(self, name: str) -> dict[str, Any]:
        """OpenAI's model object of a model or an alias. Raises ModelNotFoundError."""
        model = self._find(name)
        return model.card() if name == model.name else {**model.card(), "id": name, "root": model.name}

    def _find(self, name: str) -> ServedModel:
        model = self._models.get(name) or self._aliases.get(name)
        if model is not None:
            return model
        known = [*self._models, *self._aliases]
        nearest = get_close_matches(name, known, n=1, cutoff=0.7)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"this server serves {', '.join(known)}."
        remedy = "To let this name stand for one of them, start it with --alias NAME=MODEL."
        raise ModelNotFoundError(f"The model '{name}' does not exist here; {hint} {remedy}", param="model")
