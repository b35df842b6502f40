"""The first token behind a long prefix: computed, found in memory, and read from disk after a restart.

Each round opens an engine without a folder and asks (cold), asks again with another ending (resident), then
opens one on the folder that an earlier engine filled and asks (disk; the files are in the system's page
cache). The default model, one stream, in process.

    python -m benchmarks.prefix_disk --rounds 3
"""

from __future__ import annotations

import argparse
import tempfile
from statistics import median
from typing import TYPE_CHECKING

from pennyweight import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX_TOKENS = (2048, 6144)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the times of every prefix length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=None)
    parser.add_argument("--tokens", type=int, nargs="*", default=PREFIX_TOKENS)
    chosen = parser.parse_args(arguments)
    for num_tokens in chosen.tokens:
        prefix = _text(chosen.model, num_tokens)
        rounds = [_round(chosen.model, prefix) for _ in range(chosen.rounds)]
        for name in rounds[0]:
            times = sorted(1e3 * one[name][0] for one in rounds)
            cached = {one[name][1] for one in rounds}
            spread = f"{times[0]:.1f}-{times[-1]:.1f}"
            print(f"{num_tokens} {name}: {median(times):.1f} ms ({spread}), cached {cached}")


def _round(model: str | None, prefix: str) -> dict[str, tuple[float, int]]:
    with tempfile.TemporaryDirectory() as folder:
        with Engine.open(model, parallel=1, prefix_cache_dir=folder) as engine:
            cold = _first_token_s(engine, prefix + " One thing first:")
            resident = _first_token_s(engine, prefix + " Then, secondly, this:")
        with Engine.open(model, parallel=1, prefix_cache_dir=folder) as engine:
            _first_token_s(engine, "A short one, so that the engine has run.")
            disk = _first_token_s(engine, prefix + " And at last, in short:")
    return {"cold": cold, "resident": resident, "disk": disk}


def _first_token_s(engine: Engine, prompt: str) -> tuple[float, int]:
    answer = engine.generate(prompt, max_tokens=1, temperature=0)
    return answer.timings.ttft_s, answer.usage.cached_tokens


def _text(model: str | None, num_tokens: int) -> str:
    with Engine.open(model, parallel=1) as engine:
        tokenizer = engine.answerer.tokenizer
        words = " ".join(f"Item {number} weighs {number * number % 977} grams." for number in range(3000))
        return tokenizer.decode(tokenizer.encode(words)[:num_tokens])


if __name__ == "__main__":
    main()
