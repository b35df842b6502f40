"""One usage row for every request to a model, whatever ends it; the one place where that is known.

The route tells which model answers and who pays (`metered_account`); the account behind the answer tells what
was used; here is where the request began and where it ends: answered, left, failed, limited or refused. What
no key stands behind (401, 403) is nobody's usage, and an answer repeated for its Idempotency-Key reaches no
model.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from pennyweight.answers.tally import Tally
from pennyweight.cost.usage import CLIENT_GONE, PAID, Asked, AskedModel, Ended, refused_as, usage_row
from pennyweight.errors import PennyweightError
from pennyweight.server.envelope import error_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pennyweight.answers.account import Account, Ending
    from pennyweight.answers.exchange import Exchange
    from pennyweight.cost.prices import Kind, Prices
    from pennyweight.cost.usage_journal import UsageJournal
    from pennyweight.quota.accounts import RequestAccount
    from pennyweight.store.usage import Outcome

METERED: Final[dict[str, Kind]] = {
    "/v1/chat/completions": "completions",
    "/v1/completions": "completions",
    "/v1/responses": "completions",
    "/v1/embeddings": "embeddings",
}
"""What asks a model, by POST."""
_OUTCOMES: Final[dict[Ending, Outcome]] = {"finished": "completed", "left": "left", "failed": "failed"}


class Metering:
    """ASGI middleware, inside of authentication. Refuses with 507 or 503 while usage cannot be kept."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        journal: UsageJournal,
        prices: Prices,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._journal = journal
        self._prices = prices
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = METERED.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if kind is None:
            await self._app(scope, receive, send)
            return
        try:
            self._journal.check()
        except PennyweightError as error:
            await error_response(error)(scope, receive, send)
            return
        metered = scope["state"]["metered"] = _Metered()

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                metered.status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except ClientDisconnect:
            raise
        except Exception:  # told to the client further out
            metered.status = metered.status or 500
            raise
        finally:
            if not metered.is_deferred:
                self._note(scope, kind, metered)

    def _note(self, scope: Scope, kind: Kind, metered: _Metered) -> None:
        ended = metered.ended(self._clock())
        self._journal.add(usage_row(_asked(scope, kind, metered.model), ended, self._prices))
        account: RequestAccount | None = scope["state"].get("account")
        if account is not None and ended.outcome not in PAID:
            account.give_back()


class _Metered:
    """What is known of one request so far. `status` None: no response has begun."""

    def __init__(self) -> None:
        self.model: AskedModel | None = None
        self.tally = Tally()
        self.status: int | None = None
        self.is_deferred = False
        self._began_s = time.monotonic()

    def ended(self, now: float) -> Ended:
        status = CLIENT_GONE if self.status is None else self.status
        return Ended(
            at=now,
            outcome=_outcome(self.tally.ending, status),
            status=status,
            total_s=time.monotonic() - self._began_s,
            usage=self.tally.usage,
            timings=self.tally.timings,
        )


def metered_account(request: Request, exchange: Exchange, payer: Account) -> Account:
    """`payer`, and its request metered: from now on it is known what answers."""
    metered: _Metered = request.state.metered
    metered.model = AskedModel(asked=exchange.asked_model, ran=exchange.model)
    metered.tally = Tally(payer)
    return metered.tally


def leave_to_worker(request: Request) -> None:
    """What was queued leaves its row when it is answered, by whoever answers it."""
    metered: _Metered = request.state.metered
    metered.is_deferred = True


def _asked(scope: Scope, kind: Kind, model: AskedModel | None) -> Asked:
    state = scope["state"]
    principal = state["principal"]
    return Asked(
        request_id=state["request_id"],
        project=principal.project,
        key=principal.key,
        kind=kind,
        endpoint=scope["path"],
        model=model,
    )


def _outcome(ending: Ending | None, status: int) -> Outcome:
    """A refusal may come when prompts of the same request are under way: the status goes before them."""
    return refused_as(status) or ("left" if ending is None else _OUTCOMES[ending])
