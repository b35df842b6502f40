"""One answer of a run: read the thread, ask the model, store what came of it. A worker calls it.

All that an answer changes is one transaction at its end; a crash before it leaves a run to be answered again,
or, if somebody has followed it already, one that has failed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.answers.chat_exchange import ChatExchange
from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.passages import FILE_SEARCH, READS_STORES
from pennyweight.answers.responses_exchange import prompt_window
from pennyweight.answers.scopes import MODEL_REQUEST
from pennyweight.answers.served import AnsweringModel
from pennyweight.errors import (
    DatabaseUnavailableError,
    OverloadedError,
    PennyweightError,
    StorageFullError,
    UnavailableError,
)
from pennyweight.history.assistants.cited_text import CitedText
from pennyweight.history.assistants.file_search import (
    find,
    passages_of,
    search_step,
    search_tool,
    until_read,
)
from pennyweight.history.assistants.run_chat import RunChat, latest_question
from pennyweight.history.assistants.run_making import Numbering, RunMaking, told_search
from pennyweight.history.assistants.run_object import RUN_PATIENCE_S, RunProgress, run_object
from pennyweight.history.assistants.run_settings import RunSettings
from pennyweight.history.assistants.tool_resources import stores_of
from pennyweight.history.assistants.truncation import fitting, last_messages, prompt_budget
from pennyweight.history.event_journal import EventJournal
from pennyweight.store.events import Event, Events
from pennyweight.store.generation import LeaseLostError, State
from pennyweight.store.generations import Generations
from pennyweight.store.run_steps import RunSteps
from pennyweight.store.runs import Run, Runs
from pennyweight.store.thread_messages import ThreadMessages
from pennyweight.store.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.answers.served import Opening
    from pennyweight.history.work import Claimed
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation
    from pennyweight.store.run_steps import RunStep
    from pennyweight.store.thread_messages import ThreadMessage

Limit = Literal["max_prompt_tokens", "max_completion_tokens"]
_STAYS: Final = (UnavailableError.code, StorageFullError.code, DatabaseUnavailableError.code)
"""What says nothing of the run: it is answered later."""
_PATIENCE_S: Final = 1.0  # before an engine that had no room is asked again


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What a run stands on, at one moment."""

    run: Run
    settings: RunSettings
    progress: RunProgress
    messages: Sequence[ThreadMessage]
    steps: Sequence[RunStep]
    store_ids: Sequence[str]


class LimitReachedError(PennyweightError):
    """A limit that the run was given ends it before a further answer."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"The run has reached its '{limit}'.")
        self.limit = limit


class RunWork:
    """Answers runs, any number at a time."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database = database
        self._backend = backend
        self._generations, self._events = Generations(), Events()
        self._runs, self._steps, self._messages = Runs(), RunSteps(), ThreadMessages()

    def scopes(self, generation: Generation) -> list[str]:
        """As `Work.scopes`."""
        tools = RunSettings.from_text(generation.request).tools
        searches = any(tool["type"] == FILE_SEARCH for tool in tools)
        return [MODEL_REQUEST, "api.threads.write", *([READS_STORES] if searches else [])]

    async def answer(self, generation: Generation, claimed: Claimed) -> None:
        """As `Work.answer`."""
        stored = await self._database.read(lambda c: self._load(c, generation))
        journal = EventJournal(self._database, claimed, streams=stored.run.streams)
        numbered = Numbering()
        journal.tell(numbered([("thread.run.in_progress", run_object(stored.run))]))
        try:
            making = await self._make(stored, claimed, journal, numbered)
            ending = _ended(stored, making, await journal.rest())
        except LimitReachedError as error:
            ending = _Ending(State.INCOMPLETE, replace(stored.progress, limit=error.limit))
        except PennyweightError as error:
            if isinstance(error, LeaseLostError) or error.code in _STAYS:
                raise
            ending = _failed(stored, error)
        finally:
            await journal.close()
        await self._end(stored, claimed, ending)

    def _load(self, connection: Connection, generation: Generation) -> _Stored:
        thread_id = generation.conversation_id
        if thread_id is None:
            raise LeaseLostError(f"The thread of '{generation.id}' was deleted.")
        run = self._runs.get(connection, generation.project_id, thread_id, generation.id)
        settings = RunSettings.from_text(generation.request)
        messages = self._messages.of(connection, thread_id)
        resources = Threads().get(connection, generation.project_id, thread_id).tool_resources
        return _Stored(
            run=run,
            settings=settings,
            progress=RunProgress.of(run),
            messages=last_messages(messages, settings.last_messages),
            steps=self._steps.of(connection, run.id),
            store_ids=list(dict.fromkeys((*stores_of(settings.tool_resources), *stores_of(resources)))),
        )

    async def _make(
        self, stored: _Stored, claimed: Claimed, journal: EventJournal, numbered: Numbering
    ) -> RunMaking:
        step = await self._searched(stored, claimed.principal)
        if step is not None:
            journal.tell(numbered(told_search(step, stored.run)))
            stored = replace(stored, steps=[*stored.steps, step])
        chat = await self._fitting(stored)
        exchange = ChatExchange(self._backend, chat.body(), claimed.principal.project)
        account = claimed.account(exchange.model)
        while True:
            # Marks in JSON would not be JSON any more.
            marked = passages_of(stored.steps) if stored.settings.writes_text else ()
            cited = CitedText(self._backend.passages, marked)
            making = RunMaking(stored.run, assistant_id=stored.settings.assistant_id, cited=cited)
            making.steps += [] if step is None else [step]
            try:
                async with aclosing(exchange.events(claimed.principal, account=account)) as events:
                    async for event in events:
                        journal.tell(numbered(making.of(event)))
            except OverloadedError:  # refused before it began
                if time.time() >= stored.run.expires_at:
                    raise
                await asyncio.sleep(_PATIENCE_S)
            else:
                return making

    async def _searched(self, stored: _Stored, principal: Principal) -> RunStep | None:
        """Once for each run, if it is to search and there is something to search in."""
        source, run = self._backend.passages, stored.run
        tool = search_tool(stored.settings.tools, stored.store_ids)
        if source is None or tool is None or stored.steps or stored.settings.tool_choice == "none":
            return None
        began = int(time.time())
        await until_read(self._database, principal.project, stored.store_ids)
        async with self._opening(stored) as model:
            window = prompt_window(model)
            found = await find(source, principal, tool, latest_question(stored.messages), window)
        return search_step(run.id, found, tool, began=began)

    async def _fitting(self, stored: _Stored) -> RunChat:
        """What the model reads. Raises LimitReachedError."""
        settings, used = stored.settings, stored.progress.usage
        left = _left(settings.max_completion_tokens, used["completion_tokens"])
        if left is not None and left <= 0:
            raise LimitReachedError("max_completion_tokens")
        prompt_left = _left(settings.max_prompt_tokens, used["prompt_tokens"])
        if prompt_left is not None and prompt_left <= 0:
            raise LimitReachedError("max_prompt_tokens")
        chat = RunChat(settings=settings, messages=stored.messages, steps=stored.steps, max_tokens=left)
        async with self._opening(stored) as model:
            if model.local is None:
                return chat  # elsewhere: nobody here knows how long it is
            return await self._fitted(chat, model.local.answerer, prompt_left, left)

    async def _fitted(
        self, chat: RunChat, answerer: Answerer, prompt_left: int | None, left: int | None
    ) -> RunChat:
        async def count(chat: RunChat) -> int:
            asked = parse_chat(chat.body())
            return len(await answerer.tokens(asked.conversation, asked.options))

        budget = prompt_budget(answerer.context, max_prompt=prompt_left, max_tokens=left)
        chat = await fitting(chat, count, budget=budget)
        if prompt_left is not None and await count(chat) > prompt_left:
            raise LimitReachedError("max_prompt_tokens")
        return chat

    def _opening(self, stored: _Stored) -> Opening:
        """Nobody waits for a run at a limit: the model may be loaded for as long as it takes."""
        project = stored.run.generation.project_id
        model = self._backend.served.resolve(stored.settings.model, AnsweringModel, project)
        return model.open(patient=True)

    async def _end(self, stored: _Stored, claimed: Claimed, ending: _Ending) -> None:
        run, now = stored.run, int(time.time())
        project = run.generation.project_id

        def work(connection: Connection) -> None:
            self._events.append(connection, claimed.lease, ending.events, now=now)
            self._generations.finish(
                connection,
                claimed.lease,
                to=ending.state,
                now=now,
                result=ending.progress.text(),
                error=ending.error,
            )
            self._messages.append(connection, project, ending.messages)
            self._steps.add(connection, ending.steps)
            if ending.state is State.REQUIRES_ACTION:
                self._runs.extend(connection, run.id, expires_at=now + RUN_PATIENCE_S)

        await self._database.write(work, at="generation.ended")
        claimed.told()


@dataclass(frozen=True, slots=True)
class _Ending:
    """What is stored when an answer has ended."""

    state: State
    progress: RunProgress
    error: dict[str, str] | None = None
    events: Sequence[Event] = ()
    messages: Sequence[ThreadMessage] = ()
    steps: Sequence[RunStep] = ()


def _ended(stored: _Stored, making: RunMaking, events: Sequence[Event]) -> _Ending:
    finished = making.finished
    assert finished is not None, "an answer ends with its reason"
    progress = RunProgress(usage=stored.progress.plus(finished.usage), calls=making.calls)
    state = State.REQUIRES_ACTION if making.calls else State.COMPLETED
    if finished.reason == "length":
        state, progress = State.INCOMPLETE, replace(progress, limit="max_completion_tokens")
    elif finished.reason == "content_filter":
        state = State.INCOMPLETE
    return _Ending(state, progress, None, events, making.messages, making.steps)


def _failed(stored: _Stored, error: PennyweightError) -> _Ending:
    """`last_error` with one of the codes that clients know."""
    code = "server_error"
    if error.status == 429:
        code = "rate_limit_exceeded"
    elif error.status < 500:  # a store that is gone
        code = "invalid_prompt"
    return _Ending(State.FAILED, stored.progress, {"code": code, "message": error.message})


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else limit - used
