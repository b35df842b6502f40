"""Several prompts answered side by side: one stream of events, each with the prompt it belongs to."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from pennyweight.answers.account import FREE
from pennyweight.answers.conversation import Completion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from pennyweight.answers.account import Account
    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.completion_prompts import EncodedPrompt
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.options import Options
    from pennyweight.answers.principal import Principal

CHOICES_AT_ONCE = 64  # as many as run at a time; the others of one request do not fill everybody's queue


async def answer_prompts(
    answers: AnswerSource,
    prompts: Sequence[EncodedPrompt],
    options: Options,
    principal: Principal,
    account: Account = FREE,
) -> AsyncGenerator[tuple[int, AnswerEvent]]:
    """Events with their prompt's number. The first error ends all; closing this cancels whatever runs."""
    arrived: asyncio.Queue[tuple[int, AnswerEvent] | None] = asyncio.Queue()
    places = asyncio.Semaphore(max(1, CHOICES_AT_ONCE // options.num_choices))

    async def run(number: int, prompt: EncodedPrompt) -> None:
        source = Completion(prompt=prompt.tokens)
        async with places, aclosing(answers.answer(source, options, principal, account)) as events:
            async for event in events:
                arrived.put_nowait((number, event))

    tasks = [asyncio.create_task(run(number, prompt)) for number, prompt in enumerate(prompts)]
    everything = asyncio.gather(*tasks)
    everything.add_done_callback(lambda _: arrived.put_nowait(None))
    try:
        while (item := await arrived.get()) is not None:
            yield item
        await everything  # raises what ended it early
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(everything, *tasks, return_exceptions=True)
