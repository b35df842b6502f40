"""OpenAI's vector stores, their files, batches of them, and what a search finds.

(https://platform.openai.com/docs/api-reference/vector-stores)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.store.vector_store import FileState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.passages import Passage
    from pennyweight.store.vector_store import (
        FileCounts,
        StaticChunking,
        StoreBatch,
        StoreFile,
        VectorStore,
    )


def store_object(store: VectorStore, *, now: int) -> dict[str, Any]:
    days = store.expires_after_days
    status = "in_progress" if store.counts.in_progress else "completed"
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_at,
        "name": store.name,
        "description": store.description,
        "usage_bytes": store.usage_bytes,
        "file_counts": counts_object(store.counts),
        "status": "expired" if store.has_expired(now) else status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": store.expires_at,
        "last_active_at": store.last_active_at,
        "metadata": store.metadata,
    }


def counts_object(counts: FileCounts) -> dict[str, int]:
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def store_file_object(file: StoreFile) -> dict[str, Any]:
    error = None if file.error is None else dict(zip(("code", "message"), file.error, strict=True))
    return {
        "id": file.id,
        "object": "vector_store.file",
        "created_at": file.created_at,
        "vector_store_id": file.store_id,
        "status": str(file.state),
        "last_error": error,
        "usage_bytes": file.usage_bytes,
        "attributes": file.attributes or {},
        "chunking_strategy": _chunking(file.chunking),
    }


def _chunking(sizes: StaticChunking | None) -> dict[str, Any]:
    """Until a file is read, the sizes that the encoder decides on are not known."""
    if sizes is None:
        return {"type": "other"}
    static = {"max_chunk_size_tokens": sizes.max_tokens, "chunk_overlap_tokens": sizes.overlap_tokens}
    return {"type": "static", "static": static}


def batch_object(batch: StoreBatch) -> dict[str, Any]:
    counts = batch.counts
    status = FileState.IN_PROGRESS if counts.in_progress else FileState.COMPLETED
    if batch.cancelled:
        status = FileState.CANCELLED
    elif counts.failed and counts.failed == counts.total:
        status = FileState.FAILED
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_at,
        "vector_store_id": batch.store_id,
        "status": str(status),
        "file_counts": counts_object(counts),
    }


def deleted_object(id_: str, kind: str) -> dict[str, Any]:
    return {"id": id_, "object": f"{kind}.deleted", "deleted": True}


def content_page(texts: Sequence[str]) -> dict[str, Any]:
    """The text of a file, a chunk after the other."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text} for text in texts],
        "has_more": False,
        "next_page": None,
    }


def search_page(queries: Sequence[str], passages: Sequence[Passage]) -> dict[str, Any]:
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(queries),
        "data": [
            {
                "file_id": passage.file_id,
                "filename": passage.filename,
                "score": passage.score,
                "attributes": passage.attributes,
                "content": [{"type": "text", "text": passage.text}],
            }
            for passage in passages
        ],
        "has_more": False,
        "next_page": None,
    }
