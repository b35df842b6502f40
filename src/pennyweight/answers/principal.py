"""Who asks. Cached prefixes are shared only inside one project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller behind a request: the person at the machine, or the holder of a key."""

    id: str
    project: str = "default"


LOCAL = Principal(id="local")
