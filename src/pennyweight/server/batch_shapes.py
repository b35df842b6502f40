"""OpenAI's batch object (https://platform.openai.com/docs/api-reference/batch/object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.store.batches import STAMPED

if TYPE_CHECKING:
    from pennyweight.store.batches import Batch


def batch_object(batch: Batch) -> dict[str, Any]:
    """A time that has not come is null."""
    usage = batch.usage
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": list(batch.errors)} if batch.errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": str(batch.state),
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "expires_at": batch.expires_at,
        **{f"{state}_at": batch.entered.get(state) for state in STAMPED},
        "request_counts": {
            "total": batch.num_lines,
            "completed": batch.num_completed,
            "failed": batch.num_failed,
        },
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
        "metadata": batch.metadata,
    }
