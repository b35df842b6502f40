"""One request to `/v1/embeddings`, from its body to the list of vectors."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pennyweight.answers.account import FREE
from pennyweight.answers.bill import FlatBill
from pennyweight.answers.embedding_response import embedding_body
from pennyweight.answers.embedding_schema import input_param, parse_embedding
from pennyweight.answers.exchange import Answered
from pennyweight.answers.served import EmbeddingModel
from pennyweight.core import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future, ThreadPoolExecutor

    from pennyweight.answers.account import Account
    from pennyweight.answers.embedding import Embedder
    from pennyweight.answers.embedding_schema import Input
    from pennyweight.answers.foreign_ids import ForeignTexts
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.served_models import ServedModels
    from pennyweight.core import Priority


class EmbedderSource(Protocol):
    """Something that opens its encoder when it is first asked for, never on the event loop."""

    def check_offered(self) -> None: ...
    def embedder(self) -> Future[Embedder]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingBackend:
    """What makes vectors. `workers` are threads of their own: long texts must not hold up prompts of chats,
    nor those of batches what people embed.
    """

    source: EmbedderSource
    served: ServedModels
    foreign: ForeignTexts
    workers: Mapping[Priority, ThreadPoolExecutor]


class EmbeddingExchange:
    """Raises ParameterError or ModelNotFoundError for a body that cannot be honoured."""

    stream = False
    ignored: tuple[str, ...] = ()

    def __init__(self, backend: EmbeddingBackend, body: Mapping[str, object], project: str) -> None:
        self._asked = parse_embedding(body)
        backend.source.check_offered()
        self._backend = backend
        self.asked_model = self._asked.model
        self.model = backend.served.resolve(self._asked.model, EmbeddingModel, project).name

    async def whole(
        self,
        principal: Principal,  # noqa: ARG002  vectors are kept for nobody
        *,
        priority: Priority = "interactive",
        account: Account = FREE,
    ) -> Answered:
        """As `Exchange.whole`. Cancelling stops the encoder's work for it."""
        asked, worker = self._asked, self._backend.workers[priority]
        loop = asyncio.get_running_loop()
        own = await loop.run_in_executor(worker, self._inputs)
        embedder = await asyncio.wrap_future(self._backend.source.embedder())
        embedder.check_dimensions(asked.dimensions)
        windows = await loop.run_in_executor(worker, embedder.cut, own)
        async with FlatBill(account, windows.num_tokens) as bill:
            work = embedder.start(windows, priority=priority)
            try:
                data = await asyncio.wrap_future(work)
            finally:
                bill.cpu_s, bill.computed_tokens = work.cpu_s, work.num_tokens

            def write() -> bytes:
                embeddings = embedder.finish(windows, data, dimensions=asked.dimensions)
                return embedding_body(embeddings, model=self.model, encoding_format=asked.encoding_format)

            body = await loop.run_in_executor(worker, write)
        return Answered(body=body, model=self.model, usage=Usage(prompt_tokens=windows.num_tokens))

    def _inputs(self) -> list[Input]:
        asked, foreign = self._asked, self._backend.foreign
        return [
            item
            if isinstance(item, str)
            else foreign.prompt(
                item, asked=asked.model, served=self.model, param=input_param(asked.inputs, index)
            )
            for index, item in enumerate(asked.inputs)
        ]
