"""One raw request to an endpoint, and what came back, for tests of single fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as a test looks at it."""

    http: httpx.Response

    @property
    def status(self) -> int:
        return self.http.status_code

    @property
    def body(self) -> dict[str, Any]:
        assert self.status == 200, self.http.text
        body: dict[str, Any] = self.http.json()
        return body

    @property
    def choice(self) -> dict[str, Any]:
        choice: dict[str, Any] = self.body["choices"][0]
        return choice

    @property
    def text(self) -> str:
        text: str = self.choice["message"]["content"]
        return text

    @property
    def num_tokens(self) -> int:
        tokens: int = self.body["usage"]["completion_tokens"]
        return tokens

    @property
    def prompt(self) -> int:
        """Tokens of the input of a response."""
        tokens: int = self.body["usage"]["input_tokens"]
        return tokens

    @property
    def chunks(self) -> list[dict[str, Any]]:
        """The events of a stream."""
        assert self.http.headers["content-type"].startswith("text/event-stream"), self.http.text
        events = self.http.text.split("\n\n")
        return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Sends `fields` over `defaults`; the field `without` never arrives, as if it were lost on the way."""

    url: str
    defaults: dict[str, Any]
    without: str | None = None

    def __call__(self, **fields: Any) -> Reply:
        body = {**self.defaults, **fields}
        body.pop(self.without or "", None)
        return Reply(httpx.post(self.url, json=body, timeout=60))
