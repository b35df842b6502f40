"""What people ask an assistant: prompts for sampling answers, split by a hash of the text.

Files of JSON lines, gzipped or not, of either kind:
`{"instruction": "...", "instances": [{"input": "..."}]}`, as github.com/yizhongw/self-instruct has its 175
seed tasks and 252 tasks by experts (Apache-2.0), or `{"turns": ["..."]}`, as lm-sys/FastChat has questions.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LONGEST: Final = 600  # characters; what is longer makes sampling slow and teaches nothing more
_TEST: Final = 0.25


def read_prompts(paths: Sequence[Path]) -> list[str]:
    """Every prompt once, ordered by the hash that splits them."""
    found = set()
    for path in paths:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        found |= {_prompt(json.loads(line)) for line in text.splitlines()}
    return sorted((prompt for prompt in found if len(prompt) <= _LONGEST), key=_share)


def split(prompts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Prompts to learn from, and prompts to test with."""
    return [one for one in prompts if _share(one) >= _TEST], [one for one in prompts if _share(one) < _TEST]


def _prompt(entry: dict[str, Any]) -> str:
    if "turns" in entry:
        return str(entry["turns"][0])
    return f"{entry['instruction']}\n\n{entry['instances'][0]['input']}".strip()


def _share(prompt: str) -> float:
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8]) / 2**64
