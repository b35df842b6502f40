"""What of the traffic is kept, and in what words: recording, and redaction before anything is stored.

A redaction is a function of the operator's own, named `module:function`. It is given an object with
`endpoint`, `request` and `response`, JSON as on the wire, and returns the same with what may be kept; None
keeps nothing. It fails closed: where it raises nothing is kept either.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Redact = Callable[[dict[str, Any]], dict[str, Any] | None]

_log = logging.getLogger(__name__)
_CONTINUED: Final = ("previous_response_id", "conversation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A request and its answer in the words that may be kept; `response` is JSON text."""

    request: Mapping[str, Any]
    response: str

    @property
    def metadata(self) -> dict[str, str]:
        """Of the request, where it is the object of texts that it has to be."""
        given = self.request.get("metadata")
        texts = isinstance(given, dict) and all(isinstance(text, str) for text in given.values())
        return given if isinstance(given, dict) and texts else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`everything`: chats too that do not say whether to `store` them. `redact` None: kept word for word."""

    everything: bool = False
    redact: Redact | None = None

    def wanted(self, body: Mapping[str, object]) -> Mapping[str, object]:
        """The body of a chat, with `store` set if it is to be kept though it does not say so."""
        return {**body, "store": True} if self.everything and body.get("store") is None else body

    async def words(self, endpoint: str, request: Mapping[str, object], response: str) -> Words | None:
        """What may be kept; None: nothing. Never raises."""
        if self.redact is None:
            return Words(request=request, response=response)
        given = {"endpoint": endpoint, "request": request, "response": json.loads(response)}
        try:
            told = await asyncio.to_thread(self.redact, json.loads(json.dumps(given)))
            if told is None:
                return None
            return Words(request=_of_shape(request, told["request"]), response=_same_id(given, told))
        except Exception as error:  # the operator's code: a failure keeps nothing, and loses nobody's answer
            # Neither message nor traceback: both may quote what must not be kept.
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__}, {last.filename}, line {last.lineno}"
            _log.error("the redaction failed (%s); the answer was given and is not kept", where)
            return None


def load_redaction(name: str) -> Redact:
    """The function `module:function` names, of a module installed or in this folder. ConfigError if none."""
    module, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        message = (
            f"redact is {name!r}, which is no function that can be imported ({error}); write module:function"
        )
        raise ConfigError(message) from error
    if not callable(found):
        raise ConfigError(f"redact is {name!r}, which is no function; write module:function")
    redact: Redact = found
    return redact


def _of_shape(request: Mapping[str, object], redacted: Any) -> Mapping[str, Any]:
    """`redacted`, if it has as many messages or items as `request`: they are kept one by one.

    What it continues stays as it was: where that is deleted, whoever continues this one must be told.
    """
    for name in ("messages", "input"):
        given: Any = request.get(name)
        told = redacted.get(name)
        if type(given) is not type(told) or (isinstance(given, list) and len(given) != len(told)):
            raise ValueError(f"the redaction changed the number or kind of '{name}'")
    continued = {name: request[name] for name in _CONTINUED if name in request}
    return {**{name: value for name, value in redacted.items() if name not in _CONTINUED}, **continued}


def _same_id(given: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    if told["response"]["id"] != given["response"]["id"]:
        raise ValueError("the redaction changed the answer's id")
    return json.dumps(told["response"], ensure_ascii=False, separators=(",", ":"))
