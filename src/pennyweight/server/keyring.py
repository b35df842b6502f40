"""Whose key is this? Answered from memory while the database is known not to have changed.

So a key that is revoked, by this server or by the command line beside it, opens nothing from that commit on,
and a request costs no query as long as nobody writes. When a key was last used is written once a minute.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.answers.principal import LOCAL, Principal
from pennyweight.errors import AuthenticationError, PennyweightError
from pennyweight.quota.principals import principal_of
from pennyweight.store.change_stamp import ChangeStamp
from pennyweight.store.key_secrets import digest_of
from pennyweight.store.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pennyweight.store.database import Database

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 4096  # unknown secrets are remembered as well
_USED_EVERY_S: Final = 60

NO_KEY: Final = "You didn't provide an API key; send it as the header 'Authorization: Bearer KEY'."
WRONG_KEY: Final = "Incorrect API key provided; whoever runs this server makes keys with 'penny keys create'."
EXPIRED_KEY: Final = "This API key has expired; whoever runs this server makes keys with 'penny keys create'."


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says of one secret. `locked`: keys exist, so everybody needs one."""

    stamp: int | None
    principal: Principal | None
    expires_at: int | None
    locked: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever sent a secret; `has_key` is False where none is needed."""

    principal: Principal
    has_key: bool


class KeyRing:
    """`holder` of a secret; used on one event loop."""

    def __init__(
        self, database: Database, *, static_key: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        """`static_key` is given at the start of the server: the default project's, with every scope."""
        self._database = database
        self._static_key = None if static_key is None else static_key.encode()
        self._clock = clock
        self._keys = Keys()
        self._stamp = ChangeStamp(database.url)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._used: dict[str, int] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def holder(self, secret: str) -> Holder:
        """Who holds `secret`, which may be empty. Raises AuthenticationError."""
        if self._static_key is not None and hmac.compare_digest(_bytes(secret), self._static_key):
            return Holder(LOCAL, has_key=True)
        known = await self._look_up(digest_of(secret))
        if known.principal is not None:
            if known.expires_at is not None and known.expires_at <= self._clock():
                raise AuthenticationError(EXPIRED_KEY)
            self._note_use(known.principal)
            return Holder(known.principal, has_key=True)
        if known.locked or self._static_key is not None:
            raise AuthenticationError(WRONG_KEY if secret else NO_KEY)
        return Holder(LOCAL, has_key=False)

    def close(self) -> None:
        """Let go of the database."""
        self._stamp.close()

    async def _look_up(self, digest: str) -> _Known:
        stamp = self._stamp.now()  # before reading: what changes meanwhile is read again
        known = self._known.get(digest)
        if known is not None and stamp is not None and known.stamp == stamp:
            return known

        def read(connection: Connection) -> _Known:
            key = self._keys.by_digest(connection, digest)
            if key is None:
                return _Known(stamp, None, None, self._keys.any(connection))
            return _Known(stamp, principal_of(connection, key), key.expires_at, True)

        known = await self._database.read(read)
        self._known[digest] = known
        self._known.move_to_end(digest)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known

    def _note_use(self, principal: Principal) -> None:
        now = int(self._clock())
        assert principal.key is not None
        if now - self._used.get(principal.key, 0) < _USED_EVERY_S:
            return
        self._used[principal.key] = now
        task = asyncio.get_running_loop().create_task(self._write_use({principal.key: now}))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_use(self, times: dict[str, int]) -> None:
        try:
            await self._database.write(lambda link: self._keys.used(link, times), at="key.used")
        except PennyweightError as error:  # a full disk must not keep anybody out
            _log.warning("when a key was last used could not be written: %s", error.message)


def _bytes(secret: str) -> bytes:
    """As it came: headers are latin-1, and keys may be anything."""
    return secret.encode("latin-1", "replace")
