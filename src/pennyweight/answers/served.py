"""What a server serves, as routes see it: models that answer, here or elsewhere, or that make vectors."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.answer import Answerer, AnswerSource
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.answers.options import Options
    from pennyweight.answers.tuned import TunedModel


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

    `local` None: it runs elsewhere. `adapting` makes of it one that was tuned from it; None: nothing can.
    """

    name: str
    answers: AnswerSource
    ids: OwnIds
    fingerprint: str | None = None
    local: LocalTokens | None = None
    adapting: Callable[[TunedModel], OpenModel] | None = None

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
