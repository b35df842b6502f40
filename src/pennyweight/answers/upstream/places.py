"""Where in the client's body the tools stand that a service elsewhere was sent.

What it says of `tools[1].function.parameters` is said of the tools it was sent. The client may have written
more of them (those that OpenAI runs itself, those its choice leaves out), flat, or as `functions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.conversation import Tool

_SENT = re.compile(r"tools\[([0-9]{1,9})\](\.function|\.custom)?(?![^.\[])(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ToolPlaces:
    """`tools` are those sent, in order."""

    tools: Sequence[Tool]

    def __call__(self, path: str) -> str:
        """`path`, a place in what was sent, as the client wrote it; other paths as they are."""
        match = _SENT.fullmatch(path)
        if match is None or int(match[1]) >= len(self.tools):
            return path
        place = (self.tools[int(match[1])].param or "tools").rpartition(".")[0]
        kind, rest = match[2] or "", match[3]
        whole = place.removesuffix(".function").removesuffix(".custom")
        if whole != place:
            return whole + kind + rest
        if rest.startswith(".format.grammar"):  # which Responses lays flat
            rest = ".format" + rest.removeprefix(".format.grammar")
        return whole + rest
