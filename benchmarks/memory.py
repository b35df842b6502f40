"""Resident memory of a server: when it is ready, and when every stream's context is full; beside llama.cpp.

Each server is a process of its own with room for `streams` contexts of `CONTEXT` tokens. All streams are
asked at once, with distinct texts that fill their contexts but for a few hundred tokens. The figure is the
peak of what the system counts as resident (`VmHWM`), mapped files included, for they are part of what runs.

    python -m benchmarks.memory --streams 8
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks import llamacpp
from benchmarks.machine import describe_machine
from benchmarks.servers import RunningServer, ServerCommand, llama_server, penny_serve, running
from benchmarks.texts import Passages, find_text
from pennyweight.api import find_model

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
CONTEXT = 8192
PROMPT_TOKENS = 7800  # about; a text that turns out to be longer than the context is shortened
ANSWER_TOKENS = 64
STREAMS = 8
KV_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "llama.cpp, f16 KV": (),
    "llama.cpp, q8_0 KV": ("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"),
}
_PATIENCE_S = 3600
_CUT = 0.98
_CUTS = 20


def commands(
    model: Path, *, build: llamacpp.LlamaCpp | None, threads: int, streams: int
) -> dict[str, ServerCommand]:
    """How ours and, if there is a build, llama-server with keys and values of either type are started."""
    found = {"pennyweight": penny_serve(model, folder=ROOT, threads=threads, isa=None)}
    if build is None:
        return found
    for name, options in KV_OPTIONS.items():
        found[name] = llama_server(
            build.tools, model, threads=threads, slots=streams, slot_tokens=CONTEXT, options=options
        )
    return found


def measure(
    command: ServerCommand, passages: Passages, *, streams: int = STREAMS, prompt_tokens: int = PROMPT_TOKENS
) -> dict[str, Any]:
    """Megabytes (10^6) resident when ready and at the peak, and the tokens that all streams held."""
    texts = [passages.take(prompt_tokens) for _ in range(streams)]
    with running(command) as server:
        idle = _resident_mb(server, "VmRSS")
        with ThreadPoolExecutor(streams) as clients:
            held = list(clients.map(lambda text: _fill(server, text), texts))
        return {"unit": "MB", "idle": idle, "full": _resident_mb(server, "VmHWM"), "tokens": sum(held)}


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
    return round(kib * 1024 / 1e6, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--model", help="a catalog name or a file; by default the default model")
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="folder of llama.cpp")
    parser.add_argument("--only", help="one configuration, such as pennyweight")
    arguments = parser.parse_args()
    text = find_text()
    if text is None:
        parser.error("the text of the prompts is not here; set PENNYWEIGHT_SHARED")
    build = None if arguments.only == "pennyweight" else llamacpp.install(arguments.peers)["native"]
    model = find_model(arguments.model, None)
    found = commands(model, build=build, threads=arguments.threads, streams=arguments.streams)
    figures = {
        name: measure(command, Passages.open(text), streams=arguments.streams)
        for name, command in found.items()
        if arguments.only in (None, name)
    }
    print(json.dumps({"machine": describe_machine(), "memory": figures}, indent=2))


if __name__ == "__main__":
    main()
