"""Resident memory of a server: when it is ready, and when every stream's context is full.

A server is a process of its own with room for as many contexts of `CONTEXT` tokens as there are streams. All
are asked at once, with distinct texts that fill their contexts but for a few hundred tokens. The figure is
the peak of what the system counts as resident (`VmHWM`), mapped files included, for they are part of what
runs; idle is what it counts (`VmRSS`) when the server says it is ready, before anything was asked.

The rows `memory-idle` and `memory-full` of `make bench-peers` measure it beside llama.cpp, whose keys and
values are floats or int8.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.samples import Sample
from benchmarks.servers import RunningServer, ServerCommand, running
from benchmarks.texts import Passages, find_text

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT = 8192
PROMPT_TOKENS = 7800  # about; a text that turns out to be longer than the context is shortened
ANSWER_TOKENS = 64
STREAMS = 8
KV_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "f16 KV": (),
    "q8_0 KV": ("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"),
}
_PATIENCE_S = 3600
_CUT = 0.98
_CUTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Megabytes (10^6) that a server holds when it is ready, or with `streams` contexts full."""

    family: str
    label: str
    command: ServerCommand
    streams: int = 0
    prompt_tokens: int = PROMPT_TOKENS

    def measure(self) -> Sample:
        """One start of the server. RuntimeError where the text of the prompts is missing."""
        texts = _texts(self.streams, self.prompt_tokens)
        with running(self.command) as server:
            idle = _resident_mb(server, "VmRSS")
            if not texts:
                return Sample(value=idle)
            with ThreadPoolExecutor(self.streams) as clients:
                held = list(clients.map(lambda text: _fill(server, text), texts))
            return Sample(value=_resident_mb(server, "VmHWM"), also={"idle_mb": idle, "tokens": sum(held)})


def _texts(streams: int, prompt_tokens: int) -> list[str]:
    if streams == 0:
        return []
    path = find_text()
    if path is None:
        raise RuntimeError("the passages of text for prompts are not here; see benchmarks/texts.py")
    passages = Passages.open(path)
    return [passages.take(prompt_tokens) for _ in range(streams)]


def _fill(server: RunningServer, text: str) -> int:
    """Tokens of prompt and answer; what the server refuses as too long is shortened until it fits."""
    for _ in range(_CUTS):
        try:
            return _ask(server, text)
        except HTTPError as error:
            if error.code != 400:
                raise
        text = text[: int(len(text) * _CUT)]
    raise RuntimeError(f"{server.model} refuses even a prompt of {len(text)} characters")


def _ask(server: RunningServer, text: str) -> int:
    body = {
        "model": server.model,
        "prompt": text,
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
    }
    headers = {"content-type": "application/json"}
    request = Request(f"{server.url}/v1/completions", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=_PATIENCE_S) as answer:
        total: int = json.load(answer)["usage"]["total_tokens"]
        return total


def _resident_mb(server: RunningServer, field: str) -> float:
    lines = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
    return kib * 1024 / 1e6
