"""What answering one generation used: an account for each model asked, and a row of usage for each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pennyweight.answers.tally import Tally
from pennyweight.cost.usage import Asked, AskedModel, Ended, usage_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.answers.account import Account, Ending
    from pennyweight.answers.principal import Principal
    from pennyweight.quota.accounts import Accounts
    from pennyweight.store.generation import Generation, Kind
    from pennyweight.store.usage import Outcome, UsageRow

_ENDPOINTS: Final[dict[Kind, str]] = {"response": "/v1/responses", "run": "/v1/threads/runs"}
_OUTCOMES: Final[dict[Ending, tuple[Outcome, int]]] = {
    "finished": ("completed", 200),
    "left": ("left", 499),
    "failed": ("failed", 500),
}


class GenerationUsage:
    """Of one lease, whose `fence` tells its rows from those of others: calls of functions part a run's.

    Answers that reached no model are no usage; if none did and it has ended, the generation was refused.
    """

    def __init__(self, generation: Generation, accounts: Accounts, *, fence: int) -> None:
        self._generation = generation
        self._accounts = accounts
        self._fence = fence
        self._began_s = time.monotonic()
        self._tallies: list[tuple[str, Tally]] = []

    def account(self, principal: Principal, model: str) -> Account:
        """One that counts tokens; the request itself was counted when it came."""
        payer = self._accounts.of(principal, model=model, kind="completions")
        tally = Tally(payer)
        self._tallies.append((model, tally))
        return tally

    def rows(self, *, waits: bool) -> Iterator[UsageRow]:
        """What was used. `waits`: it is to be answered again."""
        used = [(model, tally, tally.ending) for model, tally in self._tallies if tally.ending is not None]
        for place, (model, tally, ending) in enumerate(used):
            yield self._row(place, model, tally, *_OUTCOMES[ending])
        if not used and not waits:
            yield self._row(0, self._generation.model, Tally(), "refused", 400)

    def _row(self, place: int, model: str, tally: Tally, outcome: Outcome, status: int) -> UsageRow:
        own = self._generation
        first = self._fence == 1 and place == 0
        asked = Asked(
            request_id=own.id if first else f"{own.id}.{self._fence}.{place}",
            project=own.project_id,
            key=own.key_id,
            kind="completions",
            endpoint=_ENDPOINTS[own.kind],
            model=AskedModel(asked=own.model, ran=model),
        )
        ended = Ended(
            at=time.time(),
            outcome=outcome,
            status=status,
            total_s=time.monotonic() - self._began_s,
            usage=tally.usage,
            timings=tally.timings,
        )
        return usage_row(asked, ended, self._accounts.prices)
