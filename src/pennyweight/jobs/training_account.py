"""Who pays for training: money set aside before and settled after, and a row of usage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pennyweight.core import Timings, Usage
from pennyweight.cost.usage import CLIENT_GONE, Asked, AskedModel, Ended, usage_row

if TYPE_CHECKING:
    from pennyweight.answers.principal import Principal
    from pennyweight.cost.prices import Prices
    from pennyweight.quota.accounts import Accounts
    from pennyweight.quota.budgets import Place
    from pennyweight.store.tuning_job import TuningJob
    from pennyweight.store.tuning_work import Progress
    from pennyweight.store.usage import Outcome, UsageRow

ENDPOINT: Final = "/v1/fine_tuning/jobs"


class TrainingAccount:
    """Of one job. What an interrupted run has set aside is given back: the next one sets it aside again."""

    def __init__(self, job: TuningJob, accounts: Accounts) -> None:
        self._job = job
        self._accounts = accounts
        self._places: tuple[Place, ...] = ()
        self._reserved = self._spent = 0

    async def reserve(self, principal: Principal, tokens: int) -> None:
        """Set aside what training `tokens` costs. Raises InsufficientQuotaError."""
        price = self._price(tokens)
        self._places = await self._accounts.budgets.reserve(principal, price)
        self._reserved = price

    def ended(self, progress: Progress, *, outcome: Outcome, status: int) -> UsageRow:
        """The row of a job that ends now. A failure is free."""
        row = _row(self._job, self._accounts.prices, progress, outcome=outcome, status=status)
        self._spent = row.price
        return row

    def cancelled(self, tokens: int) -> None:
        """Somebody cancelled it, and has written its row."""
        self._spent = self._price(tokens)

    def close(self) -> None:
        """Settle, on the event loop of the budgets' caller. Harmless twice."""
        if self._places:
            self._accounts.budgets.settle(self._places, reserved=self._reserved, spent=self._spent)
        self._places = ()

    def _price(self, tokens: int) -> int:
        held = self._accounts.prices.price(model=self._job.model, kind="training", at=time.time())
        return held.of(Usage(prompt_tokens=tokens))


def cancelled_usage(job: TuningJob, prices: Prices) -> UsageRow:
    """What was trained until somebody cancelled it is paid, as at OpenAI."""
    return _row(job, prices, None, outcome="left", status=CLIENT_GONE)


def _row(
    job: TuningJob, prices: Prices, progress: Progress | None, *, outcome: Outcome, status: int
) -> UsageRow:
    """`progress` None: as the job's own row says."""
    told = job if progress is None else progress
    now = time.time()
    asked = Asked(
        request_id=job.id,
        project=job.project_id,
        key=job.key_id,
        kind="training",
        endpoint=ENDPOINT,
        model=AskedModel(asked=job.model_asked, ran=job.model),
    )
    ended = Ended(
        at=now,
        outcome=outcome,
        status=status,
        total_s=max(0.0, now - (job.begun_at or now)),
        usage=Usage(prompt_tokens=told.trained_tokens),
        timings=Timings(cpu_s=told.cpu_us / 1e6),
    )
    return usage_row(asked, ended, prices)
