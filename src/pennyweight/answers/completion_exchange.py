"""One request to `/v1/completions`, from its body to the object or the chunks of the answer."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.account import FREE
from pennyweight.answers.completion_prompts import encode_prompts
from pennyweight.answers.completion_response import (
    CompletionChunks,
    CompletionIdentity,
    completion,
    completion_usage,
)
from pennyweight.answers.completion_run import answer_prompts
from pennyweight.answers.completion_schema import parse_completion
from pennyweight.answers.events import Finished
from pennyweight.answers.exchange import Answered, compact_json, whole_answer
from pennyweight.answers.served import AnsweringModel
from pennyweight.answers.usage_cost import CostTeller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.completion_prompts import EncodedPrompt
    from pennyweight.answers.completion_schema import AskedPrompt
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.served import OpenModel
    from pennyweight.core import Priority
    from pennyweight.text.tokenizer import Tokenizer

NumberedEvent = tuple[int, "AnswerEvent"]
"""An event and the number of the prompt it belongs to."""


class CompletionExchange:
    """Raises InvalidRequestError or ModelNotFoundError for a body or a model that cannot be honoured."""

    ignored: tuple[str, ...] = ()

    def __init__(self, backend: Backend, body: Mapping[str, object], project: str) -> None:
        asked = parse_completion(body)
        model = backend.served.resolve(asked.model, AnsweringModel, project)
        model.check_local()
        self.model, self.asked_model = model.name, asked.model
        self.stream = asked.stream
        self._model = model
        self._asked = asked
        self._identity = CompletionIdentity(model=model.name, fingerprint=None)  # known when it is open
        self._tokenizer: Tokenizer | None = None
        self._prompts: tuple[EncodedPrompt, ...] = ()
        self._chunks: CompletionChunks | None = None
        self._cost = CostTeller(backend.pricing, wanted=asked.include_cost, model=model.name)

    async def events(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> AsyncGenerator[NumberedEvent]:
        """As `answer_prompts`; a prompt that the model cannot take raises before the first."""
        self._cost.batch = priority == "batch"
        async with self._model.open(patient=priority == "batch") as model:
            await self._begin(model)
            options = replace(self._asked.options, priority=priority)
            answering = answer_prompts(model.answers, self._prompts, options, principal, account)
            async with aclosing(answering) as events:
                async for event in events:
                    yield event

    async def _begin(self, model: OpenModel) -> None:
        """Everything in the ids of `model`."""
        local = model.tokens

        def own(prompt: AskedPrompt) -> AskedPrompt:
            if isinstance(prompt.content, str):
                return prompt
            ids = local.foreign.prompt(
                prompt.content, asked=self.asked_model, served=model.name, param=prompt.param
            )
            return replace(prompt, content=ids)

        options = model.in_own_ids(self._asked.options, asked=self.asked_model)
        self._asked = replace(self._asked, options=options, prompts=tuple(map(own, self._asked.prompts)))
        self._identity = replace(self._identity, fingerprint=model.fingerprint)
        self._tokenizer = local.answerer.tokenizer
        self._prompts = await encode_prompts(self._asked.prompts, options, local.answerer)
        if self.stream:
            self._chunks = CompletionChunks(self._identity, self._asked, self._prompts, self._tokenizer)

    def pieces(self, event: NumberedEvent) -> Iterable[dict[str, Any]]:
        """Chunks of the stream."""
        assert self._chunks is not None, "asked to be streamed, and begun"
        return self._cost.all_told(self._chunks.of(*event))

    def answered(self, events: Sequence[NumberedEvent]) -> Answered:
        """The `text_completion` object."""
        assert self._tokenizer is not None, "its events have ended"
        body = completion(events, self._identity, self._asked, self._prompts, self._tokenizer)
        ends = [event for _, event in events if isinstance(event, Finished)]
        return Answered(
            body=compact_json(self._cost.told(body)),
            model=self._identity.model,
            usage=completion_usage(events),
            timings=ends[-1].timings,
        )

    async def whole(
        self, principal: Principal, *, priority: Priority = "interactive", account: Account = FREE
    ) -> Answered:
        """As `Exchange.whole`."""
        if not self._asked.options.prompt_logprobs:
            return await whole_answer(self, principal, priority=priority, account=account)
        async with aclosing(self.events(principal, priority=priority, account=account)) as events:
            followed = [event async for event in events]
        # The scores of a long prompt are megabytes of JSON: not on the event loop.
        return await asyncio.to_thread(self.answered, followed)
