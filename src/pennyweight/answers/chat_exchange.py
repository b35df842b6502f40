"""One request to `/v1/chat/completions`, from its body to the object or the chunks of the answer."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.account import FREE
from pennyweight.answers.chat_response import ChatChunks, ChatIdentity, chat_completion
from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.events import Finished, ignored_of, total_usage
from pennyweight.answers.exchange import Answered, compact_json, whole_answer
from pennyweight.answers.served import AnsweringModel
from pennyweight.answers.usage_cost import CostTeller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.core import Priority


class ChatExchange:
    """Raises ParameterError or ModelNotFoundError for a body that cannot be honoured.

    `project` asks. `stores`: whoever asks keeps the answer if the body wants it.
    """

    def __init__(
        self, backend: Backend, body: Mapping[str, object], project: str, *, stores: bool = False
    ) -> None:
        asked = parse_chat(body, stores=stores)
        model = backend.served.resolve(asked.model, AnsweringModel, project)
        self.model, self.asked_model = model.name, asked.model
        self.stream = asked.stream
        self.ignored = asked.ignored
        self._model = model
        self._conversation = asked.conversation
        self._options = asked.options
        self._shape = asked.shape
        self.num_choices, self.store = asked.shape.num_choices, asked.shape.store
        self.identity = ChatIdentity(model=model.name, fingerprint=None)  # known when the model is open
        self._chunks = ChatChunks(self.identity, asked.shape)
        self._cost = CostTeller(backend.pricing, wanted=asked.include_cost, model=model.name)

    async def events(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> AsyncGenerator[AnswerEvent]:
        """As `Answerer.answer`, once the model is open."""
        self._cost.batch = priority == "batch"
        async with self._model.open(patient=priority == "batch") as model:
            options = model.in_own_ids(self._options, asked=self.asked_model)
            self.identity = replace(self.identity, fingerprint=model.fingerprint)
            self._chunks = ChatChunks(self.identity, self._shape)
            options = replace(options, priority=priority)
            answering = model.answers.answer(self._conversation, options, principal, account)
            async with aclosing(answering) as events:
                async for event in events:
                    yield event

    def pieces(self, event: AnswerEvent) -> Iterable[dict[str, Any]]:
        """Chunks of the stream."""
        return self._cost.all_told(self._chunks.of(event))

    def answered(self, events: Sequence[AnswerEvent]) -> Answered:
        """The `chat.completion` object."""
        finished = [event for event in events if isinstance(event, Finished)]
        return Answered(
            body=compact_json(self._cost.told(chat_completion(events, self.identity, self._shape))),
            model=self.identity.model,
            usage=total_usage(finished),
            timings=finished[-1].timings,
            ignored=ignored_of(events),
        )

    async def whole(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> Answered:
        """As `Exchange.whole`."""
        return await whole_answer(self, principal, priority=priority, account=account)
