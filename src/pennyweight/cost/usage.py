"""One request's usage becomes the row that is kept, with the price of its day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.core import Timings, Usage
from pennyweight.store.usage import UsageRow

if TYPE_CHECKING:
    from pennyweight.cost.prices import Kind, Prices
    from pennyweight.store.usage import Outcome

PAID: Final = ("completed", "left")
"""The outcomes that have a price: failures of ours and refusals are free."""
CLIENT_GONE: Final = 499
"""The status of an answer nobody received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedModel:
    """`asked` is the client's name for the model `ran`."""

    asked: str
    ran: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is known of a request before it is answered. `model` None: it named none of this server's."""

    request_id: str
    project: str
    kind: Kind
    endpoint: str
    key: str | None = None
    model: AskedModel | None = None
    batch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a request ended. `at` in seconds since 1970, `total_s` from its arrival; `status` is HTTP's."""

    at: float
    outcome: Outcome
    status: int
    total_s: float
    usage: Usage = Usage()  # noqa: RUF009  frozen
    timings: Timings = Timings()  # noqa: RUF009


def refused_as(status: int) -> Outcome | None:
    """What ended a request that was answered with the error `status`; None: it was not refused."""
    if status >= 500:
        return "failed"
    if status == 429:
        return "limited"
    return "refused" if status >= 400 and status != CLIENT_GONE else None


def usage_row(asked: Asked, ended: Ended, prices: Prices) -> UsageRow:
    """The row of one request. What failed through our fault is free."""
    usage, timings, model = ended.usage, ended.timings, asked.model
    price = 0
    if model is not None and ended.outcome in PAID:
        held = prices.price(model=model.ran, kind=asked.kind, at=ended.at)
        price = held.of(usage, batch=asked.batch)
    return UsageRow(
        request_id=asked.request_id,
        ended_at=int(ended.at),
        project_id=asked.project,
        key_id=asked.key,
        kind=asked.kind,
        endpoint=asked.endpoint,
        model_asked=None if model is None else model.asked,
        model=None if model is None else model.ran,
        batch=asked.batch,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        accepted_prediction_tokens=usage.accepted_prediction_tokens,
        rejected_prediction_tokens=usage.rejected_prediction_tokens,
        queue_ms=round(1000 * timings.queue_s) if timings.ttft_s else None,
        ttft_ms=round(1000 * timings.ttft_s) if timings.ttft_s else None,
        total_ms=round(1000 * ended.total_s),
        cpu_us=round(1e6 * timings.cpu_s),
        outcome=ended.outcome,
        status=ended.status,
        price=price,
    )
