"""A rendered prompt in pieces that know who wrote them.

Only trusted text may hold control tokens. Whatever came from a request (content, names, tool schemas) is
untrusted and stays ordinary text, however it looks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A run of prompt text; `trusted` text was written by the model's template or by the program itself."""

    text: str
    trusted: bool
