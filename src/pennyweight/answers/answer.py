"""`answer(source, options, principal)`: the one way to get an answer, the one caller of `submit`.

The engine's thread posts tokens to an inbox; here they become text, stop strings end a choice (and cancel
it in the engine at once), and each choice ends with one `Finished`. Closing the iterator or cancelling the
task that reads it cancels whatever still runs in the engine.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from pennyweight.answers.choice import ChoiceText, token_detail
from pennyweight.answers.conversation import Conversation
from pennyweight.answers.events import Accepted, Finished, PromptToken, TokenDetail
from pennyweight.answers.inbox import Inbox
from pennyweight.answers.options import TextFormat
from pennyweight.answers.prompt import PromptBuilder
from pennyweight.core import (
    CacheNamespace,
    FinishedEvent,
    FinishReason,
    PromptProgress,
    Request,
    TokenEvent,
    TokenSpan,
)
from pennyweight.errors import EngineError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pennyweight.answers.conversation import Source
    from pennyweight.answers.events import AnswerEvent, EndReason
    from pennyweight.answers.options import Options
    from pennyweight.answers.principal import Principal
    from pennyweight.core import Event
    from pennyweight.text.template import ChatTemplate
    from pennyweight.text.tokenizer import Tokenizer


class RequestHandle(Protocol):
    """A request under way."""

    def cancel(self, choice: int | None = None) -> None: ...


class StepEngine(Protocol):
    """What an answer needs of the engine; `listener` is called on the engine's thread."""

    def submit(self, request: Request, listener: Callable[[Event], None]) -> RequestHandle: ...


class AnswerSource(Protocol):
    """What gives answers: a model here, or one elsewhere."""

    def answer(
        self, source: Source, options: Options, principal: Principal
    ) -> AsyncGenerator[AnswerEvent]: ...


class Answerer:
    """Answers from one model. Stateless between answers; used from any number of event loops at once."""

    def __init__(
        self,
        *,
        engine: StepEngine,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        model_name: str,
        model_hash: str,
        context: int,
    ) -> None:
        self._engine = engine
        self._tokenizer = tokenizer
        self._prompts = PromptBuilder(
            model_name=model_name, tokenizer=tokenizer, template=template, context=context
        )
        self._model_hash = model_hash

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self._tokenizer

    @property
    def can_chat(self) -> bool:
        """False for a base model, which only continues text."""
        return self._prompts.has_template

    async def answer(
        self, source: Source, options: Options, principal: Principal
    ) -> AsyncGenerator[AnswerEvent]:
        """Yields `Accepted`, a long prompt's `PromptProgress`, `TextDelta`s, and one `Finished` per choice.

        Raises InvalidRequestError (ContextLengthError) and OverloadedError before `Accepted`, EngineError
        after.
        """
        _refuse_what_comes_later(source, options)
        # Rendering and encoding a long conversation takes milliseconds: not on the event loop.
        tokens = await asyncio.to_thread(self._prompts.build, source, options.chat_template_kwargs)
        running = {index: self._choice(index, tokens, options) for index in range(options.num_choices)}
        inbox = Inbox()
        handle = self._engine.submit(self._request(tokens, options, principal), inbox.post)
        try:
            yield Accepted(prompt_tokens=len(tokens))
            while running:
                for event in await inbox.take():
                    choice = running.get(event.choice)
                    if choice is None:
                        continue
                    if isinstance(event, PromptProgress):
                        yield event
                        continue
                    if isinstance(event, TokenEvent):
                        if choice.push(event):
                            handle.cancel(choice.index)
                        continue
                    choice.end()
                    if delta := choice.take():
                        yield delta
                    yield self._finished(choice, event, tokens)
                    del running[choice.index]
                for choice in running.values():
                    if delta := choice.take():
                        yield delta
        finally:
            if running:
                handle.cancel()

    async def tokens(self, source: Source, options: Options) -> tuple[int, ...]:
        """The prompt that `answer` gives the model. Raises InvalidRequestError as `answer` does."""
        return await asyncio.to_thread(self._prompts.build, source, options.chat_template_kwargs)

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._prompts.context

    def _request(self, tokens: tuple[int, ...], options: Options, principal: Principal) -> Request:
        return Request(
            id=uuid4().hex,
            prompt=(TokenSpan(tokens),),
            sampling=options.sampling,
            namespace=CacheNamespace(model=self._model_hash, project=principal.project),
            priority=options.priority,
            num_choices=options.num_choices,
            draft=tuple(self._tokenizer.encode(options.prediction)) if options.prediction else (),
            prompt_logprobs=options.prompt_logprobs,
        )

    def _choice(self, index: int, tokens: tuple[int, ...], options: Options) -> ChoiceText:
        # A word after ordinary text keeps its leading space; after a control token it may lose it.
        return ChoiceText(index, tokenizer=self._tokenizer, prompt_tail=tokens[-1:], stop=options.stop)

    def _finished(self, choice: ChoiceText, event: FinishedEvent, prompt: tuple[int, ...]) -> Finished:
        usage = event.usage
        if choice.stopped:
            # The engine ran on for a step or two before the cancel reached it; what led to the stop counts.
            usage = replace(usage, completion_tokens=choice.num_tokens)
        elif event.reason not in (FinishReason.STOP, FinishReason.LENGTH):
            raise EngineError(event.error or "the engine ended this answer before it was complete; try again")
        reason: EndReason = "length" if event.reason is FinishReason.LENGTH and not choice.stopped else "stop"
        return Finished(
            choice=choice.index,
            reason=reason,
            usage=usage,
            timings=event.timings,
            prompt=None if event.prompt_logprobs is None else self._scored(prompt, event),
            end=None if choice.stopped else self._end(event),
        )

    def _scored(self, prompt: tuple[int, ...], event: FinishedEvent) -> tuple[PromptToken, ...]:
        scores = event.prompt_logprobs or ()
        tops = event.prompt_top or ((),) * len(prompt)
        scored = [PromptToken(prompt[0], self._tokenizer.token_bytes(prompt[0]), None)]
        for token, score, top in zip(prompt[1:], scores[1:], tops[1:], strict=True):
            assert score is not None  # a prompt of tokens alone
            detail = token_detail(self._tokenizer, token, score, top)
            scored.append(PromptToken(token, detail.text_bytes, score, detail.top))
        return tuple(scored)

    def _end(self, event: FinishedEvent) -> TokenDetail | None:
        end = event.end
        if end is None or end.logprob is None:
            return None
        return token_detail(self._tokenizer, end.token, end.logprob, end.top)


def _refuse_what_comes_later(source: Source, options: Options) -> None:
    if isinstance(source, Conversation) and source.tools and source.tool_choice.mode != "none":
        raise InvalidRequestError("'tools' are not supported yet.", param="tools")
    if not isinstance(options.response_format, TextFormat):
        raise InvalidRequestError("'response_format' takes only text yet.", param="response_format")
