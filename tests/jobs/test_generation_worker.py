"""What stands in the way of an answer: it is tried again, or has failed for that very reason."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pennyweight.config import Settings
from pennyweight.errors import UnavailableError
from pennyweight.history.bell import Bell
from pennyweight.jobs.generation_worker import Desk, GenerationWorker
from pennyweight.server.services import open_services
from pennyweight.store.events import Event, Events
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from tests.server.live import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.history.work import Claimed
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation


@dataclass
class HinderedWork:
    """Does not succeed at first; of those that are followed, a beginning has been told by then."""

    database: Database
    attempts: list[str] = field(default_factory=list)

    def scopes(self, _: Generation) -> tuple[str, ...]:
        return ()

    async def answer(self, generation: Generation, claimed: Claimed) -> None:
        now, first = int(time.time()), generation.id not in self.attempts
        self.attempts.append(generation.id)
        if first and generation.id == "resp_followed":
            event = Event(sequence_number=0, wire="{}")
            await self.database.write(lambda c: Events().append(c, claimed.lease, [event], now=now))
        if first:
            raise UnavailableError("The engine is away.")
        await self.database.write(
            lambda c: Generations().finish(c, claimed.lease, to=State.COMPLETED, now=now, result="{}")
        )


def test_what_is_in_the_way_is_waited_for_or_told(tmp_path: Path) -> None:
    with open_services(Settings(data=str(tmp_path / "data"))) as services:
        database = services.database
        work = HinderedWork(database)
        desk = Desk(
            database=database, accounts=services.accounts, usage=services.usage, bell=Bell(), alone=True
        )
        worker = GenerationWorker(desk, {"response": work})
        for name in ("resp_alone", "resp_followed"):
            new = NewGeneration(id=name, kind="response", model="m", request="{}", metadata={}, key_id=None)
            database.write_now(partial(Generations().queue, project_id="default", new=new, now=1))

        def got(name: str) -> Generation:
            return database.read_now(lambda c: Generations().get(c, "default", name))

        worker.start()
        try:
            eventually(lambda: got("resp_alone").has_ended and got("resp_followed").has_ended)
        finally:
            worker.close()
        assert got("resp_alone").state is State.COMPLETED
        followed = got("resp_followed")
        assert followed.state is State.FAILED
        assert followed.error is not None
        assert json.loads(followed.error)["message"] == "The engine is away."
        assert sorted(work.attempts) == ["resp_alone", "resp_alone", "resp_followed"]
