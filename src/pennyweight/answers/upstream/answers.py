"""`UpstreamAnswers`: answers of a model elsewhere, the second way to get one.

The service has its own template and tokens: it is sent messages and streams a chat completion back. Each
answer has a connection of its own, so that ending the answer closes it and the service stops; none is kept,
and so none is found dead when it is needed. Certificates are verified, redirects not followed, proxies those
of the environment.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from pennyweight.answers.account import FREE, Demand
from pennyweight.answers.bill import Bill
from pennyweight.answers.conversation import Conversation
from pennyweight.answers.events import Accepted, RefusalDelta, TextDelta, ToolCallDelta
from pennyweight.answers.renamed_params import renamed_params
from pennyweight.answers.strict_parameters import promised_tools
from pennyweight.answers.upstream.chunks import ChunkReader, ReportedError
from pennyweight.answers.upstream.event_stream import EventStreamReader, StreamError
from pennyweight.answers.upstream.failures import Failures
from pennyweight.answers.upstream.ignored import named_ignored
from pennyweight.answers.upstream.messages import sent_tools
from pennyweight.answers.upstream.places import ToolPlaces
from pennyweight.answers.upstream.request import chat_body
from pennyweight.core import Timings, Usage
from pennyweight.errors import InvalidRequestError
from pennyweight.text.tools.tool import Concessions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    import httpx2

    from pennyweight.answers.account import Account
    from pennyweight.answers.conversation import Source
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.options import Options
    from pennyweight.answers.principal import Principal
    from pennyweight.upstreams import Upstream

_CONNECT_S = 5.0
_DONE = b"[DONE]"
_BYTES_PER_TOKEN = 4  # of English text
_MOST_TOKENS = 16_384  # of an answer without limit, as GPT-4o mini's; set aside, then settled
_LONGEST_ERROR_BYTES = 2**16


class UpstreamAnswers:
    """Answers from one model of one service. Stateless between answers."""

    def __init__(self, upstream: Upstream, *, key: str | None) -> None:
        self._upstream = upstream
        self._key = key
        self._failures = Failures(upstream.name, key)
        self._client = _client(upstream.timeout_s)

    async def answer(
        self,
        source: Source,
        options: Options,
        principal: Principal,  # noqa: ARG002  the service knows one caller: this server
        account: Account = FREE,
    ) -> AsyncGenerator[AnswerEvent]:
        """Yields `Accepted` once the service has taken the request, deltas, and one `Finished` per choice.

        Raises InvalidRequestError, RateLimitError, InsufficientQuotaError, OverloadedError, UpstreamError.
        """
        if not isinstance(source, Conversation):
            message = f"'{self._upstream.name}' runs elsewhere and answers conversations only."
            raise InvalidRequestError(message, param="model")
        concessions = Concessions()
        # A long conversation takes milliseconds to write down: not on the event loop.
        body = await asyncio.to_thread(self._body, source, options, concessions)
        demand = _demand(body, options)
        reader = ChunkReader(num_choices=options.num_choices, prompt_tokens=demand.prompt_tokens)
        clock = _Clock()
        async with Bill(account, demand, reader.running) as bill:
            places = ToolPlaces(sent_tools(source))
            async with self._reading(body, places) as response, aclosing(_payloads(response)) as payloads:
                bill.prompt_usage = Usage(prompt_tokens=demand.prompt_tokens)
                dropped = map(places, named_ignored(response.headers))
                yield Accepted(
                    ignored=tuple(sorted(concessions.fields.union(dropped))),
                    opened=tuple(sorted(concessions.functions)),
                )
                try:
                    async for data in payloads:
                        for event in reader.read(data):
                            clock.note(event)
                            yield event
                    finished = reader.finished(clock.timings())
                except StreamError as error:
                    raise self._failures.malformed(str(error)) from error
                except ReportedError as error:
                    raise self._failures.reported(error.body) from error
            for end in finished:
                bill.finish(end)
            for end in finished:
                yield end

    def _body(self, conversation: Conversation, options: Options, concessions: Concessions) -> bytes:
        held = promised_tools(conversation, concessions)
        return json.dumps(chat_body(held, options, self._upstream, concessions.fields)).encode()

    @asynccontextmanager
    async def _reading(self, body: bytes, places: ToolPlaces) -> AsyncIterator[httpx2.Response]:
        """The response, once its head says that there will be an answer."""
        import httpx2

        failures = self._failures
        try:
            async with self._client.stream(
                "POST", self._url, content=body, headers=self._headers
            ) as response:
                with renamed_params(places):
                    await self._check(response)
                yield response
        except httpx2.ConnectTimeout as error:
            raise failures.unreachable("no connection in time") from error
        except httpx2.TimeoutException as error:
            raise failures.silent() from error
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            raise failures.unreachable(str(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failures.broken(f"{type(error).__name__}: {error}") from error

    async def _check(self, response: httpx2.Response) -> None:
        headers = response.headers
        if response.status_code != 200:
            raise self._failures.of_status(response.status_code, headers, await _beginning(response))
        # Nothing else was accepted: a few packed bytes could unfold to more than memory holds.
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise self._failures.malformed("its stream is compressed, which was not asked for")
        if not headers.get("content-type", "").lower().startswith("text/event-stream"):
            raise self._failures.malformed("it is no stream of events")

    @property
    def _url(self) -> str:
        return f"{self._upstream.url}/chat/completions"

    @property
    def _headers(self) -> dict[str, str]:
        key = {"authorization": f"Bearer {self._key}"} if self._key else {}
        return {
            **key,
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "user-agent": "pennyweight",
        }


def _client(timeout_s: float) -> httpx2.AsyncClient:
    """Keeps no connection, so there is nothing to close."""
    # 0.1 s that a server without models elsewhere does not spend.
    import httpx2

    timeout = httpx2.Timeout(timeout_s, connect=_CONNECT_S, pool=None)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False)


def _demand(body: bytes, options: Options) -> Demand:
    """What is set aside: nobody here knows the service's tokens, so a share of the bytes stands for them."""
    wanted = options.sampling.max_tokens
    return Demand(
        prompt_tokens=len(body) // _BYTES_PER_TOKEN,
        wanted_tokens=None if wanted is None else wanted * options.num_choices,
        most_tokens=(_MOST_TOKENS if wanted is None else wanted) * options.num_choices,
    )


async def _payloads(response: httpx2.Response) -> AsyncGenerator[bytes]:
    reader = EventStreamReader()
    async with aclosing(response.aiter_raw()) as received:
        async for data in received:
            for event in reader.push(data):
                if event.strip() == _DONE:
                    return
                yield event


async def _beginning(response: httpx2.Response) -> bytes:
    """As much of an error's body as anybody reads."""
    body = bytearray()
    async with aclosing(response.aiter_raw()) as received:
        async for data in received:
            body += data
            if len(body) > _LONGEST_ERROR_BYTES:
                break
    return bytes(body[:_LONGEST_ERROR_BYTES])


class _Clock:
    """When the answer was asked for, began and ended."""

    def __init__(self) -> None:
        self._asked = time.monotonic()
        self._began: float | None = None

    def note(self, event: AnswerEvent) -> None:
        if self._began is None and isinstance(event, TextDelta | RefusalDelta | ToolCallDelta):
            self._began = time.monotonic()

    def timings(self) -> Timings:
        now = time.monotonic()
        began = now if self._began is None else self._began
        return Timings(ttft_s=began - self._asked, decode_s=now - began)
