"""What is answered under which names: the composition that the server and offline batches share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.answers.embedding_exchange import EmbeddingBackend
from pennyweight.answers.endpoints import endpoints_over
from pennyweight.answers.exchange import Backend
from pennyweight.answers.foreign_ids import ForeignIds, ForeignTexts
from pennyweight.answers.served import (
    AnsweringModel,
    EmbeddingModel,
    LocalTokens,
    OpenModel,
    ServedModel,
    ServedModels,
)
from pennyweight.cost.price_list import read_prices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.passages import PassageSource
    from pennyweight.api import Engine
    from pennyweight.config import Settings
    from pennyweight.encoder import EncoderSlot


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Both backends, over the same names."""

    backend: Backend
    vectors: EmbeddingBackend

    @property
    def served(self) -> ServedModels:
        return self.backend.served

    @property
    def endpoints(self) -> Endpoints:
        """What a batch may ask."""
        return endpoints_over(self.backend, self.vectors)

    def check_model(self, url: str, model: str) -> str:
        """What `model` stands for. ModelNotFoundError; InvalidRequestError if it does not answer at `url`."""
        return self.served.resolve(model, EmbeddingModel if url == "/v1/embeddings" else AnsweringModel).name


def serving(
    engine: Engine | None,
    encoder: EncoderSlot,
    settings: Settings,
    *,
    measured: Callable[[AnswerSource], AnswerSource] = lambda answers: answers,
    elsewhere: Sequence[ServedModel] = (),
    passages: PassageSource | None = None,
) -> Serving:
    """`measured` wraps the engine's answers; `elsewhere` are models that run on other machines; `passages`
    finds what is in files.
    """
    folder = None if settings.vocabularies is None else Path(settings.vocabularies)
    here: list[ServedModel] = [] if engine is None else [_model_here(engine, folder, measured)]
    models = [*here, *elsewhere]
    if encoder.offered:
        models.append(EmbeddingModel(name=encoder.name, created=encoder.created))
    served = ServedModels(models, aliases=settings.aliases)
    return Serving(
        backend=Backend(served=served, pricing=read_prices(settings.prices), passages=passages),
        vectors=EmbeddingBackend(
            source=encoder,
            served=served,
            foreign=ForeignTexts(folder=folder),
            worker=ThreadPoolExecutor(max_workers=1, thread_name_prefix="pennyweight-embeddings"),
        ),
    )


def _model_here(
    engine: Engine, vocabularies: Path | None, measured: Callable[[AnswerSource], AnswerSource]
) -> AnsweringModel:
    foreign = ForeignIds(engine.answerer.tokenizer, folder=vocabularies)
    template = engine.model.metadata.get("tokenizer.chat_template")
    model = OpenModel(
        name=engine.name,
        fingerprint=engine.fingerprint,
        answers=measured(engine.answerer),
        ids=foreign,
        local=LocalTokens(answerer=engine.answerer, foreign=foreign, chat_template=template),
    )
    return AnsweringModel.always_open(model, created=engine.created)
