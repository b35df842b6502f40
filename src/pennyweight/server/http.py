"""What reaches no application: bytes that are not HTTP, and the rest of a request that is answered already.

Many clients read an answer after they have sent everything: an upload refused at its first byte goes on. What
comes then is dropped, for a while and not for ever; whoever still sends is cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from pennyweight.errors import InvalidRequestError
from pennyweight.server.envelope import error_response
from pennyweight.server.request_id import new_request_id

if TYPE_CHECKING:
    import asyncio

MAX_DROPPED_BYTES: Final = 64 * 2**20
MAX_DROPPING_S: Final = 30.0


class Http(H11Protocol):
    """uvicorn's protocol, which answers malformed requests with plain text and drops bodies without end."""

    _num_dropped = 0
    _end_of_dropping: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_dropping():
            self._num_dropped += len(data)
            if self._num_dropped > MAX_DROPPED_BYTES:
                self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_dropping():
            self._num_dropped = 0
            self._end_of_dropping = self.loop.call_later(MAX_DROPPING_S, self._end, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._end_of_dropping is not None:
            self._end_of_dropping.cancel()

    def _is_dropping(self) -> bool:
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self.conn.their_state is h11.SEND_BODY

    def _end(self, cycle: RequestResponseCycle) -> None:
        if self.cycle is cycle and self._is_dropping():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        # After a response has begun there is no room for another one: the connection just ends.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            response = error_response(InvalidRequestError(msg))
            own = [(b"x-request-id", new_request_id().encode()), (b"connection", b"close")]
            headers = [*response.raw_headers, *own]
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
