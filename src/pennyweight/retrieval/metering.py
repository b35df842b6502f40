"""What embedding for vector stores took, told to whoever keeps usage: it is work as that of requests is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

INGESTION: Final = "/v1/vector_stores/files"
SEARCH: Final = "/v1/vector_stores/search"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """For whom: `key` None: nobody's, or nobody knows any more whose; `endpoint` is what usage names."""

    project: str
    key: str | None = None
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorUse:
    """Texts embedded by `model` in `total_s` seconds."""

    client: Client
    model: str
    num_tokens: int
    total_s: float


if TYPE_CHECKING:
    Meter = Callable[[VectorUse], None]
    """Raises StorageFullError, DatabaseUnavailableError while usage cannot be kept."""
