"""What every engine is asked to do in its own process: a `Task`, passed to each as JSON.

Both sides of a comparison get the same task: the same token counts, streams and sampling. Where a peer's own
tool does not sample at all (llama-bench, llama-batched-bench) its figure is flattered, never ours.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

Sampling = Literal["greedy", "sampled"]

TEMPERATURE, TOP_P = 0.8, 0.95  # what "sampled" means, everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Read a prompt, or write behind one. `context` is what each stream has read before decode is timed."""

    measured: Literal["prompt", "decode"]
    context: int  # tokens of the prompt; for decode, tokens before the first timed one
    tokens: int = 0  # decoded by each stream
    streams: int = 1
    prefix: Literal["own", "shared"] = "own"  # shared: one prompt, computed once, stands before all streams
    sampling: Sampling = "greedy"

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """The task as the argument of a measuring program."""
        return json.dumps(asdict(self))
