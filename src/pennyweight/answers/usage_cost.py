"""`usage: {"include": true}`: the price of an answer beside its tokens, as OpenRouter's interface has it.

(https://openrouter.ai/docs/use-cases/usage-accounting.) `cost` is in US dollars, by this server's price list;
a stream tells its usage in the last chunk without being asked by `stream_options`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from pennyweight.answers.fields import Field, Flag, unknown, wrong_type
from pennyweight.core import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Pricing(Protocol):
    """What answers cost."""

    def dollars(self, usage: Usage, *, model: str, batch: bool) -> float: ...


class _Include:
    """`{"include": true}` becomes true."""

    schema: dict[str, Any] = {"type": "object", "properties": {"include": {"type": "boolean"}}}  # noqa: RUF012

    def read(self, value: object, param: str) -> bool:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        for key in value:
            if key != "include":
                raise unknown(f"{param}.{key}", ("include",))
        wanted = value.get("include")
        return wanted is not None and Flag().read(wanted, f"{param}.include")


USAGE_FIELD: Final = Field(
    name="usage",
    kind=_Include(),
    doc='`{"include": true}` adds `cost` to the usage: US dollars by the price list. A stream then tells its '
    "usage at the end.",
)


class CostTeller:
    """Adds the cost to the usage of what one request is sent; does nothing if it was not asked for."""

    def __init__(self, pricing: Pricing, *, wanted: bool, model: str) -> None:
        self.batch = False
        self._pricing = pricing
        self._wanted = wanted
        self._model = model

    def told(self, payload: dict[str, Any]) -> dict[str, Any]:
        """`payload`, its usage with the cost."""
        response = payload.get("response")
        usage = (payload if response is None else response).get("usage")
        if self._wanted and usage is not None:
            usage["cost"] = self._pricing.dollars(_usage(usage), model=self._model, batch=self.batch)
        return payload

    def all_told(self, payloads: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """`told` for each."""
        return map(self.told, payloads)


def _usage(told: dict[str, Any]) -> Usage:
    """Tokens of a body's usage, of completions or of responses."""
    prompt, answer = ("prompt", "completion") if "prompt_tokens" in told else ("input", "output")
    return Usage(
        prompt_tokens=told[f"{prompt}_tokens"],
        completion_tokens=told[f"{answer}_tokens"],
        cached_tokens=told[f"{prompt}_tokens_details"]["cached_tokens"],
    )
