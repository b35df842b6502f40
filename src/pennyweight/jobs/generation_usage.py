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
    """Attempts that reached no model are no usage; if none did, the generation was refused."""

    def __init__(self, generation: Generation, accounts: Accounts) -> None:
        self._generation = generation
        self._accounts = accounts
        self._began_s = time.monotonic()
        self._tallies: list[tuple[str, Tally]] = []

    def account(self, principal: Principal, model: str) -> Account:
        """One that counts tokens; the request itself was counted when it came."""
        payer = self._accounts.of(principal, model=model, kind="completions")
        tally = Tally(payer)
        self._tallies.append((model, tally))
        return tally

    def rows(self) -> Iterator[UsageRow]:
        """What was used, when it has ended."""
        for model, tally in self._tallies:
            if tally.ending is not None:
                yield self._row(model, tally, *_OUTCOMES[tally.ending])
        if all(tally.ending is None for _, tally in self._tallies):
            yield self._row(self._generation.model, Tally(), "refused", 400)

    def _row(self, model: str, tally: Tally, outcome: Outcome, status: int) -> UsageRow:
        own = self._generation
        asked = Asked(
            request_id=own.id,
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
