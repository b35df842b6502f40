"""Real text for prompts: passages of an English encyclopedia, none used twice.

The text is looked for in `$PENNYWEIGHT_SHARED/data/text` (beside the repository by default). Where it is not,
the rows that need it are skipped and say so.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path

_CHARACTERS_PER_TOKEN = 5.3  # of this text, SmolLM2's tokenizer; each server reports its own exact count


def find_text() -> Path | None:
    """The file of passages, or None if it is not here."""
    root = Path(os.environ.get("PENNYWEIGHT_SHARED", Path(__file__).parents[2] / "shared"))
    path = root / "data" / "text" / "wiki_en.txt.gz"
    return path if path.exists() else None


class Passages:
    """Hands out consecutive pieces of a text, each once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._start = 0

    @classmethod
    def open(cls, path: Path) -> Passages:
        """The passages of a compressed text file."""
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return cls(file.read())

    def take(self, num_tokens: int) -> str:
        """About this many tokens, ending with a word. ValueError when the text is used up."""
        end = self._start + int(num_tokens * _CHARACTERS_PER_TOKEN)
        if end >= len(self._text):
            raise ValueError(f"the text has no further {num_tokens} tokens")
        end = self._text.index(" ", end)
        piece = self._text[self._start : end].strip()
        self._start = end
        return piece
