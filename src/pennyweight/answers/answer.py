"""`answer(source, options, principal)`: the one way to get an answer, the one caller of `submit`.

The engine's thread posts tokens to an inbox; here they become text, stop strings end a choice (and cancel
it in the engine at once), and each choice ends with one `Finished`. Closing the iterator or cancelling the
task that reads it cancels whatever still runs in the engine.
"""

from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from pennyweight.answers.account import FREE, Demand
from pennyweight.answers.adaptation import Adaptation, NoAdaptation
from pennyweight.answers.bill import Bill
from pennyweight.answers.choice import ChoiceText, token_detail
from pennyweight.answers.conversation import Conversation
from pennyweight.answers.events import Accepted, Finished, PromptToken, TokenDetail
from pennyweight.answers.grammars import Grammars
from pennyweight.answers.inbox import Inbox, WakeupsByLoop
from pennyweight.answers.preparation import Preparation, is_short
from pennyweight.answers.prompt import PromptBuilder
from pennyweight.answers.strict_parameters import promised_tools
from pennyweight.answers.truncation import prompt_room
from pennyweight.core import (
    CacheNamespace,
    FinishedEvent,
    FinishReason,
    PromptProgress,
    Request,
    TokenEvent,
    TokenSpan,
)
from pennyweight.errors import EngineError
from pennyweight.text.tools.generic import GENERIC
from pennyweight.text.tools.tool import Concessions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pennyweight.answers.account import Account
    from pennyweight.answers.conversation import Source
    from pennyweight.answers.events import AnswerEvent, EndReason
    from pennyweight.answers.options import Options
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.tuned import TunedModel
    from pennyweight.core import Event, Timings, Usage
    from pennyweight.engine.adapters import AdapterPool
    from pennyweight.text.template import ChatTemplate
    from pennyweight.text.tokenizer import Tokenizer
    from pennyweight.text.tools.dialect import Dialect

LONG_PROMPT_TOKENS = 256
"""Scores of this many tokens take milliseconds to tell: other answers must not wait for them."""


class RequestHandle(Protocol):
    """A request under way."""

    def cancel(self, choice: int | None = None) -> None: ...

    @property
    def cpu_s(self) -> float: ...

    @property
    def prompt_usage(self) -> Usage: ...

    @property
    def timings(self) -> Timings: ...


class StepEngine(Protocol):
    """What an answer needs of the engine; `listener` is called on the engine's thread."""

    def submit(self, request: Request, listener: Callable[[Event], None]) -> RequestHandle: ...


class AnswerSource(Protocol):
    """What gives answers: a model here, or one elsewhere."""

    def answer(
        self, source: Source, options: Options, principal: Principal, account: Account = FREE
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
        context_remedy: str = "Shorten the prompt.",
        kv_format: str = "int8",
        vocab_size: int | None = None,
        dialect: Dialect = GENERIC,
        adapters: AdapterPool | None = None,
    ) -> None:
        """`vocab_size` is the model's number of logits, `dialect` its way to call tools.

        `kv_format` is what the engine keeps keys and values in. `adapters` are those that `adapted` finds;
        None: it cannot be asked.
        """
        self._engine = engine
        self._tokenizer = tokenizer
        self._dialect = dialect
        self._prompts = PromptBuilder(
            model_name=model_name,
            tokenizer=tokenizer,
            template=template,
            dialect=dialect,
            context=context,
            remedy=context_remedy,
        )
        self.grammars = Grammars(
            tokenizer=tokenizer, vocab_size=vocab_size or tokenizer.vocab_size, dialect=dialect
        )
        self._model_hash = model_hash
        self._kv_format = kv_format
        self._preparation = Preparation()
        self._wakeups = WakeupsByLoop()
        self._adapters = adapters
        self._adaptation: Adaptation | NoAdaptation = NoAdaptation()

    def adapted(self, tuned: TunedModel) -> Answerer:
        """Answers of a model that was tuned from this one, by the same engine."""
        assert self._adapters is not None, "only an engine with adapters is asked"
        other = copy(self)
        other._adaptation = Adaptation(self._adapters, tuned)
        return other

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        return self._tokenizer

    @property
    def can_chat(self) -> bool:
        """False for a base model, which only continues text."""
        return self._prompts.has_template

    async def answer(
        self, source: Source, options: Options, principal: Principal, account: Account = FREE
    ) -> AsyncGenerator[AnswerEvent]:
        """Yields `Accepted`, a long prompt's `PromptProgress`, `TextDelta`s, and one `Finished` per choice.

        Raises InvalidRequestError (ContextLengthError), what `account` raises, OverloadedError, and
        ModelUnavailableError for an adapter, before `Accepted`, EngineError after.
        """
        concessions = Concessions()
        prepare = partial(self._prepare, source, options, principal, concessions)
        tokens, request = await self._preparation.result(prepare, short=is_short(source, options))
        running = {i: self._choice(i, source, tokens, options) for i in range(options.num_choices)}
        demand = self._demand(tokens, options)
        async with self._adaptation.held(), Bill(account, demand, running) as bill:
            # Lines of batches are read whole; but who looks for a stop string must see every token.
            followed = options.priority != "batch" or bool(options.stop)
            inbox = Inbox(self._wakeups.here(), followed=followed)
            handle = self._engine.submit(request, inbox.post)
            try:
                yield Accepted(
                    prompt_tokens=len(tokens),
                    ignored=tuple(sorted(concessions.fields)),
                    opened=tuple(sorted(concessions.functions)),
                )
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
                        choice.end(event.reason)
                        for delta in choice.take():
                            yield delta
                        finished = self._finished(choice, event, await self._scored(tokens, event))
                        bill.finish(finished)
                        del running[choice.index]
                        yield finished
                    for choice in running.values():
                        for delta in choice.take():
                            yield delta
            finally:
                bill.prompt_usage = handle.prompt_usage
                bill.cpu_s, bill.timings = handle.cpu_s, handle.timings
                if running:
                    handle.cancel()

    async def tokens(self, source: Source, options: Options) -> tuple[int, ...]:
        """The prompt that `answer` gives the model. Raises InvalidRequestError as `answer` does."""
        if isinstance(source, Conversation):
            source = await asyncio.to_thread(promised_tools, source, Concessions())
        return await asyncio.to_thread(self._prompt, source, options)

    @property
    def context(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._prompts.context

    @property
    def context_remedy(self) -> str:
        """What to do about a prompt that is longer, as a sentence."""
        return self._prompts.remedy

    def _prepare(
        self, source: Source, options: Options, principal: Principal, concessions: Concessions
    ) -> tuple[tuple[int, ...], Request]:
        if isinstance(source, Conversation):
            source = promised_tools(source, concessions)
        tokens, adapter = self._prompt(source, options, principal.project), self._adaptation.adapter
        return tokens, Request(
            id=uuid4().hex,
            prompt=(TokenSpan(tokens),),
            sampling=options.sampling,
            namespace=CacheNamespace(
                model=self._model_hash,
                adapter=adapter,
                kv_format=self._kv_format,
                project=principal.project,
            ),
            adapter=adapter,
            priority=options.priority,
            num_choices=options.num_choices,
            mask_provider=self.grammars.mask(
                source, options.response_format, project=principal.project, concessions=concessions
            ),
            draft=tuple(self._tokenizer.encode(options.prediction)) if options.prediction else (),
            prompt_logprobs=options.prompt_logprobs,
        )

    def _prompt(self, source: Source, options: Options, project: str | None = None) -> tuple[int, ...]:
        if options.truncation == "auto" and isinstance(source, Conversation):
            room = prompt_room(self.context, options.sampling.max_tokens)
            kwargs = options.chat_template_kwargs
            source = self._prompts.fitted(source, kwargs, project=project, room=room)
        return self._prompts.build(source, options.chat_template_kwargs, project=project)

    def _demand(self, tokens: tuple[int, ...], options: Options) -> Demand:
        room = max(self.context - len(tokens), 0)
        wanted = options.sampling.max_tokens
        each = room if wanted is None else min(wanted, room)
        return Demand(
            prompt_tokens=len(tokens),
            wanted_tokens=None if wanted is None else each * options.num_choices,
            most_tokens=each * options.num_choices,
        )

    def _choice(self, index: int, source: Source, tokens: tuple[int, ...], options: Options) -> ChoiceText:
        tools = source.callable_tools if isinstance(source, Conversation) else ()
        return ChoiceText(
            index,
            tokenizer=self._tokenizer,
            # A word after ordinary text keeps its leading space; after a control token it may lose it.
            prompt_tail=tokens[-1:],
            stop=options.stop,
            parser=self._dialect.parser(tools) if tools else None,
            shown=self._dialect.shown(self._tokenizer.special_tokens) if tools else frozenset(),
        )

    def _finished(
        self, choice: ChoiceText, event: FinishedEvent, prompt: tuple[PromptToken, ...] | None
    ) -> Finished:
        usage = event.usage
        if choice.stopped:
            # The engine ran on for a step or two before the cancel reached it; what led to the stop counts.
            accepted = min(usage.accepted_prediction_tokens, choice.num_tokens)
            usage = replace(usage, completion_tokens=choice.num_tokens, accepted_prediction_tokens=accepted)
        elif event.reason not in (FinishReason.STOP, FinishReason.LENGTH):
            raise EngineError(event.error or "the engine ended this answer before it was complete; try again")
        return Finished(
            choice=choice.index,
            reason=_reason(choice, event),
            usage=usage,
            timings=event.timings,
            prompt=prompt,
            end=None if choice.stopped else self._end(event),
        )

    async def _scored(self, prompt: tuple[int, ...], event: FinishedEvent) -> tuple[PromptToken, ...] | None:
        if event.prompt_logprobs is None:
            return None
        if len(prompt) < LONG_PROMPT_TOKENS:
            return self._prompt_tokens(prompt, event)
        return await asyncio.to_thread(self._prompt_tokens, prompt, event)

    def _prompt_tokens(self, prompt: tuple[int, ...], event: FinishedEvent) -> tuple[PromptToken, ...]:
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


def _reason(choice: ChoiceText, event: FinishedEvent) -> EndReason:
    if event.reason is FinishReason.LENGTH and not choice.stopped:
        return "length"
    return "tool_calls" if choice.has_calls else "stop"
