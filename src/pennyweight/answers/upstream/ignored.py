"""What another Pennyweight says that it dropped: the names in its `x-pennyweight-ignored`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_HEADER = 4000
_LONGEST_NAME = 200


def named_ignored(headers: Mapping[str, str]) -> set[str]:
    """The names, as many as a header of ours holds. They may be any text: whoever tells them quotes it."""
    names = headers.get("x-pennyweight-ignored", "")[:_LONGEST_HEADER].split(",")
    return {unquote(name.strip(), errors="replace")[:_LONGEST_NAME] for name in names if name.strip()}
