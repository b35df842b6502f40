"""How many of the engine's places a line takes: as many as it has answers, or texts to embed, at a time.

The engine and the encoder refuse people when too much waits for them. Counted line by line, 64 lines of 128
answers each would fill both; counted so, a batch never has more than a fraction of what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pennyweight.jobs.batch_line import BatchLine

MOST: Final = 64
"""A line that is worth all places runs alone."""
_EMBEDDED_CHARACTERS: Final = 256  # a place; 64 of them keep the encoder busy for a quarter of a second
_TOKEN_CHARACTERS: Final = 4


def weight_of(line: BatchLine) -> int:
    """From 1 to `MOST`. Of a body that will be refused it says nothing that matters."""
    body = line.body
    if line.url == "/v1/embeddings":
        wanted = _characters(body.get("input")) // _EMBEDDED_CHARACTERS
    else:
        n = body.get("n")
        prompts = body.get("prompt")
        several = isinstance(prompts, list) and bool(prompts) and not isinstance(prompts[0], int)
        wanted = n if isinstance(n, int) else 1
        wanted *= len(prompts) if several and isinstance(prompts, list) else 1
    return max(1, min(MOST, wanted))


def _characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(_TOKEN_CHARACTERS if isinstance(item, int) else _characters(item) for item in value)
    return 0
