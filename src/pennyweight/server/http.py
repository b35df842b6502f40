"""What reaches no application: bytes that are not HTTP get OpenAI's error object too."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pennyweight.errors import InvalidRequestError
from pennyweight.server.envelope import error_response
from pennyweight.server.request_id import new_request_id


class Http(H11Protocol):
    """uvicorn's protocol, whose own answer to a malformed request is plain text."""

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
