"""Runs are made, given the results of their tools, and cancelled; a worker answers them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_exchange import ChatExchange
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.passages import check_may_search
from pennyweight.history.assistants.following import follow_run
from pennyweight.history.assistants.message_fields import Writing, person_message
from pennyweight.history.assistants.message_writing import write_messages
from pennyweight.history.assistants.run_chat import RunChat
from pennyweight.history.assistants.run_object import RUN_PATIENCE_S, RunProgress
from pennyweight.history.assistants.run_settings import RunSettings
from pennyweight.history.assistants.thread_creation import create_thread
from pennyweight.history.assistants.tools import FILE_SEARCH, check_choice
from pennyweight.store.assistants import Assistants
from pennyweight.store.generation import NewGeneration, State, WrongStateError
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.run_steps import RunSteps
from pennyweight.store.runs import Run, Runs
from pennyweight.store.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.principal import Principal
    from pennyweight.history.assistants.thread_shelf import ThreadShelf
    from pennyweight.history.work import Later
    from pennyweight.store.database import Database
    from pennyweight.store.pages import Cursor, Page
    from pennyweight.store.run_steps import RunStep
    from pennyweight.store.threads import Thread


class RunQueue:
    """Runs are answered by what `later` says."""

    def __init__(self, database: Database, backend: Backend, shelf: ThreadShelf, later: Later) -> None:
        self._database = database
        self._backend = backend
        self._shelf = shelf
        self._later = later
        self._threads = Threads()
        self._runs, self._steps, self._generations = Runs(), RunSteps(), Generations()

    async def create(self, principal: Principal, thread_id: str, values: Mapping[str, Any]) -> Run:
        """A run of a thread that is there.

        Raises NotFoundError, ParameterError, ActiveRunError, AnswerQueueError.
        """
        settings, now = await self._settings(principal, values), int(time.time())

        def work(connection: Connection) -> Run:
            self._threads.get(connection, principal.project, thread_id)
            run = self._queue(connection, principal, thread_id, settings, values, now)
            more = values.get("additional_messages", ())
            write_messages(connection, principal.project, thread_id, more, now=now)
            return run

        return self._begun(await self._database.write(work, at="run.queued"))

    async def create_with_thread(self, principal: Principal, values: Mapping[str, Any]) -> tuple[Thread, Run]:
        """A new thread and its run. Raises as `create`."""
        settings, now = await self._settings(principal, values), int(time.time())
        wanted = values.get("thread", {})

        def work(connection: Connection) -> tuple[Thread, Run]:
            thread = create_thread(connection, principal.project, wanted, now)
            return thread, self._queue(connection, principal, thread.id, settings, values, now)

        thread, run = await self._database.write(work, at="run.queued")
        return thread, self._begun(run)

    async def give_outputs(
        self, principal: Principal, thread_id: str, run_id: str, values: Mapping[str, Any]
    ) -> tuple[Run, list[RunStep]]:
        """The results of all calls a run waits for; the steps that this completes.

        Raises NotFoundError, WrongStateError, ParameterError.
        """
        now = int(time.time())

        def work(connection: Connection) -> tuple[Run, list[RunStep]]:
            self._threads.get(connection, principal.project, thread_id)
            run = self._runs.get(connection, principal.project, thread_id, run_id)
            _check_waits(run, now)
            outputs = _outputs(run, values["tool_outputs"])
            open_steps = [s for s in self._steps.of(connection, run_id) if s.state == "in_progress"]
            for step in open_steps:
                self._steps.complete(connection, step.id, _answered(step, outputs), now=now)
            self._generations.move(connection, principal.project, run_id, to=State.QUEUED, now=now)
            self._runs.extend(connection, run_id, expires_at=now + RUN_PATIENCE_S)
            self._runs.follow(connection, run_id, streams=values.get("stream", False))
            done = [self._steps.get(connection, run_id, step.id) for step in open_steps]
            return self._runs.get(connection, principal.project, thread_id, run_id), done

        run, steps = await self._database.write(work, at="run.queued")
        return self._begun(run), steps

    async def cancel(self, principal: Principal, thread_id: str, run_id: str) -> Run:
        """End a run, whatever it does. Raises NotFoundError, WrongStateError."""
        now = int(time.time())

        def work(connection: Connection) -> Run:
            self._threads.get(connection, principal.project, thread_id)
            run = self._runs.get(connection, principal.project, thread_id, run_id)
            if run.generation.has_ended or run.is_overdue(now):
                state = State.EXPIRED if run.is_overdue(now) else run.state
                raise WrongStateError(f"Cannot cancel run with status '{state}'.", param="run_id")
            self._runs.cancel(connection, principal.project, run_id, now=now)
            return self._runs.get(connection, principal.project, thread_id, run_id)

        run = await self._database.write(work, at="run.cancelled")
        self._drop(run_id)
        return run

    async def delete_thread(self, project_id: str, thread_id: str) -> None:
        """With all that belongs to it; nobody works on it any more. Raises NotFoundError."""
        run_ids = await self._database.write(
            lambda c: self._threads.delete(c, project_id, thread_id), at="thread.deleted"
        )
        for run_id in run_ids:
            self._drop(run_id)

    def _drop(self, run_id: str) -> None:
        self._later.drop(run_id)
        self._later.bell.ring(run_id)

    async def get(self, project_id: str, thread_id: str, run_id: str) -> Run:
        """The run as it is now. Raises NotFoundError."""

        def work(connection: Connection) -> Run:
            self._threads.get(connection, project_id, thread_id)
            return self._runs.get(connection, project_id, thread_id, run_id)

        return await self._database.read(work)

    async def page(self, project_id: str, thread_id: str, cursor: Cursor) -> Page[Run]:
        """One page of a thread's runs. Raises NotFoundError."""

        def work(connection: Connection) -> Page[Run]:
            self._threads.get(connection, project_id, thread_id)
            return self._runs.page(connection, project_id, thread_id, cursor)

        return await self._database.read(work)

    async def set_metadata(
        self, project_id: str, thread_id: str, run_id: str, metadata: Mapping[str, str] | None
    ) -> Run:
        """Replace the metadata; None leaves it. Raises NotFoundError."""

        def work(connection: Connection) -> Run:
            self._threads.get(connection, project_id, thread_id)
            self._runs.get(connection, project_id, thread_id, run_id)
            if metadata is not None:
                self._generations.set_metadata(connection, project_id, run_id, metadata)
            return self._runs.get(connection, project_id, thread_id, run_id)

        return await self._database.write(work, at="run.labelled")

    def follow(self, run: Run, first: Sequence[dict[str, Any]]) -> AsyncGenerator[dict[str, Any]]:
        """The events of a run, `first` before them."""
        return follow_run(self._database, self._later.bell, run, first=first)

    async def _settings(self, principal: Principal, values: Mapping[str, Any]) -> RunSettings:
        """Refuses now what can be seen not to be answerable, rather than by a failed run."""
        wanted = values["assistant_id"]
        assistant = await self._database.read(
            lambda connection: Assistants().get(connection, principal.project, wanted)
        )
        settings = RunSettings.of(assistant, values)
        check_choice(settings.tool_choice, settings.tools)
        if any(tool["type"] == FILE_SEARCH for tool in settings.tools):
            check_may_search(principal)
        probe = person_message({"role": "user", "content": ("?",)}, Writing(thread_id="", now=0))
        chat = RunChat(settings=settings, messages=[probe])
        exchange = ChatExchange(self._backend, chat.body(), principal.project)
        return replace(settings, model=exchange.model)

    def _queue(
        self,
        connection: Connection,
        principal: Principal,
        thread_id: str,
        settings: RunSettings,
        values: Mapping[str, Any],
        now: int,
    ) -> Run:
        self._later.check_room(connection, principal.project)
        new = NewGeneration(
            id=new_id("run_"),
            kind="run",
            model=settings.model,
            request=settings.text(),
            conversation_id=thread_id,
            metadata=values.get("metadata", {}),
            key_id=principal.key,
        )
        expires_at, streams = now + RUN_PATIENCE_S, values.get("stream", False)
        return self._runs.queue(
            connection, principal.project, new, expires_at=expires_at, streams=streams, now=now
        )

    def _begun(self, run: Run) -> Run:
        self._shelf.read_files()
        self._later.wake()
        return run


def _check_waits(run: Run, now: int) -> None:
    state = State.EXPIRED if run.is_overdue(now) else run.state
    if state is not State.REQUIRES_ACTION:
        message = f"Runs in status '{state}' do not accept tool outputs."
        raise WrongStateError(message, param="run_id")


def _outputs(run: Run, given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Results by the id of their call. Raises ParameterError unless there is one for each call."""
    wanted = [call["id"] for call in RunProgress.of(run).calls]
    outputs = {item["tool_call_id"]: item.get("output", "") for item in given}
    missing = [call_id for call_id in wanted if call_id not in outputs]
    strange = [call_id for call_id in outputs if call_id not in wanted]
    if missing or strange or len(given) != len(wanted):
        message = (
            f"'tool_outputs' must have one output for each call of 'required_action': expected "
            f"{', '.join(wanted)}, got {', '.join(item['tool_call_id'] for item in given):.400}."
        )
        raise ParameterError(message, param="tool_outputs", code="invalid_value")
    return outputs


def _answered(step: RunStep, outputs: Mapping[str, str]) -> dict[str, Any]:
    calls = [
        {**call, "function": {**call["function"], "output": outputs[call["id"]]}}
        for call in step.details["tool_calls"]
    ]
    return {**step.details, "tool_calls": calls}
