"""What is answered under which names: the composition that the server and offline batches share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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
)
from pennyweight.answers.served_models import ServedModels
from pennyweight.answers.tuned import NO_TUNED, GivenAdapters, TunedModelsOf
from pennyweight.cost.price_list import read_prices
from pennyweight.errors import ConfigError
from pennyweight.local_models import LocalModel
from pennyweight.models.adapter.files import AdapterFiles
from pennyweight.models.aliases import TUNED_PREFIX, kept_aliases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.passages import PassageSource
    from pennyweight.answers.tuned import TunedModel, TunedModels
    from pennyweight.api import Engine
    from pennyweight.config import Settings
    from pennyweight.encoder import EncoderSlot
    from pennyweight.engine.stats import EngineStats
    from pennyweight.residents.place import Wrap


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

    def check_model(self, url: str, model: str, project: str) -> str:
        """What `model` stands for. ModelNotFoundError; InvalidRequestError if it does not answer at `url`."""
        kind = EmbeddingModel if url == "/v1/embeddings" else AnsweringModel
        return self.served.resolve(model, kind, project).name


class ModelsHere(Protocol):
    """The models that run here: one engine that is always there, or residents that come and go."""

    @property
    def is_serving(self) -> bool:
        """False if something has failed that only a restart mends."""
        ...

    def answering(self, wrap: Wrap) -> Sequence[AnsweringModel]:
        """As they are served; `wrap` says how the engine of one answers."""
        ...

    def stats(self) -> Mapping[str, EngineStats]:
        """What the engines do and did, by the names of their models."""
        ...

    def num_loads(self) -> Mapping[str, int]:
        """How often each model was loaded."""
        ...

    def drop_adapter(self, adapter: str) -> None:
        """Nobody asks for it any more: it need not stay in memory."""
        ...

    def sources(self) -> Mapping[str, str]:
        """The file or installed name of each model."""
        ...


class OneModel:
    """An engine that somebody else has opened, and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def is_serving(self) -> bool:
        return self._engine.is_serving

    def answering(self, wrap: Wrap) -> Sequence[AnsweringModel]:
        model = wrap(LocalModel(name=self._engine.name, source=None), self._engine)
        return [AnsweringModel.always_open(model, created=self._engine.created)]

    def stats(self) -> Mapping[str, EngineStats]:
        return {self._engine.name: self._engine.stats()}

    def num_loads(self) -> Mapping[str, int]:
        return {self._engine.name: 1}

    def drop_adapter(self, adapter: str) -> None:
        self._engine.adapters.drop(adapter)

    def sources(self) -> Mapping[str, str]:
        return {self._engine.name: str(self._engine.model.path)}


def serving(
    here: ModelsHere | None,
    encoder: EncoderSlot,
    settings: Settings,
    *,
    measured: Callable[[AnswerSource, str], AnswerSource] = lambda answers, _: answers,
    elsewhere: Sequence[ServedModel] = (),
    passages: PassageSource | None = None,
    tuned: TunedModels = NO_TUNED,
) -> Serving:
    """`measured` wraps the answers of a model here, by its name; `elsewhere` are models that run on other
    machines; `passages` finds what is in files; `tuned` are models that were tuned from those here.
    """
    folder = None if settings.vocabularies is None else Path(settings.vocabularies)

    def wrap(model: LocalModel, engine: Engine) -> OpenModel:
        return _open_model(model, engine, folder, measured)

    models: list[ServedModel] = [] if here is None else [*here.answering(wrap)]
    models += elsewhere
    if encoder.offered:
        models.append(EmbeddingModel(name=encoder.name, created=encoder.created))
    local = [one.name for one in models if isinstance(one, AnsweringModel) and one.residence is not None]
    given = _given_adapters(settings, local)
    served = ServedModels(
        models,
        aliases=_aliases(settings, models),
        tuned=TunedModelsOf(given, tuned),
        forget=None if here is None else here.drop_adapter,
    )
    return Serving(
        backend=Backend(served=served, pricing=read_prices(settings.prices), passages=passages),
        vectors=EmbeddingBackend(
            source=encoder,
            served=served,
            foreign=ForeignTexts(folder=folder),
            workers={"interactive": _worker("pennyweight-embeddings"), "batch": _worker("pennyweight-lines")},
        ),
    )


def _given_adapters(settings: Settings, names: Sequence[str]) -> GivenAdapters:
    """Those of the settings, over the models they name, else those they say they were tuned from."""
    given = GivenAdapters()
    for name, place in settings.adapters.items():
        if not names or name in names:
            problem = "is the name of a model" if names else "has no model to be an adapter of"
            raise ConfigError(f"the adapter {name!r} {problem}; give it another name, or serve its model")
        folder, _, base = place.rpartition("@")
        if folder and base in names:
            given.add(name, Path(folder), base=base)
        else:
            given.add(name, Path(place), base=_base_of(Path(place), names))
    return given


def _base_of(folder: Path, names: Sequence[str]) -> str:
    config = AdapterFiles.of(folder).config
    own = config.get("pennyweight")
    said = own.get("base") if isinstance(own, dict) else config.get("base_model_name_or_path")
    return next((name for name in names if name == said), names[0])


def _aliases(settings: Settings, models: Sequence[ServedModel]) -> dict[str, str]:
    """Those of the settings, before those that were kept for models that are served now."""
    names = {model.name for model in models}
    kept = kept_aliases().items()
    usable = {name: model for name, model in kept if model in names or model.startswith(TUNED_PREFIX)}
    return {**usable, **settings.aliases}


def _worker(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def _open_model(
    local: LocalModel,
    engine: Engine,
    vocabularies: Path | None,
    measured: Callable[[AnswerSource, str], AnswerSource],
) -> OpenModel:
    foreign = ForeignIds(engine.answerer.tokenizer, folder=vocabularies)
    template = engine.model.metadata.get("tokenizer.chat_template")
    model = OpenModel(
        name=local.name,
        fingerprint=engine.fingerprint,
        answers=measured(engine.answerer, local.name),
        ids=foreign,
        local=LocalTokens(answerer=engine.answerer, foreign=foreign, chat_template=template),
    )

    def adapted(tuned: TunedModel) -> OpenModel:
        return replace(
            model,
            name=tuned.name,
            fingerprint=engine.fingerprint_with(tuned.adapter),
            answers=measured(engine.answerer.adapted(tuned), tuned.name),
        )

    return replace(model, adapting=adapted)
