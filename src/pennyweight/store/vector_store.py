"""What the repositories of vector stores give and take: data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

AttributeValue = str | float | bool
Attributes = Mapping[str, AttributeValue]
DAY_S: Final = 24 * 3600


class FileState(StrEnum):
    """OpenAI's four, and one that nobody sees: the row waits until its chunks are removed."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """How many files are in which state."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorStore:
    """Times in seconds since 1970; `number` names it within the database."""

    number: int
    id: str
    project_id: str
    name: str
    description: str | None
    metadata: Mapping[str, str] | None
    created_at: int
    last_active_at: int
    expires_after_days: int | None
    expires_at: int | None
    counts: FileCounts
    usage_bytes: int

    def has_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVectorStore:
    """What a store is made of."""

    id: str
    project_id: str
    created_at: int
    name: str = ""
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    expires_after_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticChunking:
    """Chunks of at most so many of the encoder's tokens; neighbours share `overlap_tokens` at most."""

    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStoreFile:
    """A file to be put into a store; `chunking` None: as the encoder likes it."""

    id: str
    attributes: Attributes | None = None
    chunking: StaticChunking | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFile:
    """A file in a store. `id` is the file's own; `error` a code and a sentence."""

    number: int
    id: str
    project_id: str
    store_number: int
    store_id: str
    state: FileState
    error: tuple[str, str] | None
    attributes: Attributes | None
    chunking: StaticChunking | None
    created_at: int
    usage_bytes: int
    num_chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreBatch:
    """Files that were put into a store together."""

    id: str
    store_id: str
    cancelled: bool
    created_at: int
    counts: FileCounts


def expiry(days: int | None, last_active_at: int) -> int | None:
    """When a store that lives for `days` after its last use is gone."""
    return None if days is None else last_active_at + days * DAY_S
