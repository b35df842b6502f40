"""Sums of usage as OpenAI's pages of buckets, with every field its client's types require.

Source: the types of `openai.resources.admin.organization.usage` in OpenAI's Python client.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.server.usage_query import DIMENSION_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pennyweight.server.usage_query import Wish
    from pennyweight.store.usage import UsageSum


def usage_page(
    wish: Wish, sums: Iterable[UsageSum], shape: Callable[[UsageSum, Wish], dict[str, Any]]
) -> Any:
    """One page; a bucket in which nothing ended has no results."""
    of_bucket: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for item in sums:
        of_bucket[item.start].append(shape(item, wish))
    return {
        "object": "page",
        "data": [
            {"object": "bucket", "start_time": start, "end_time": end, "results": of_bucket.get(start, [])}
            for start, end in wish.buckets()
        ],
        "has_more": wish.next_page is not None,
        "next_page": wish.next_page,
    }


def completions_result(item: UsageSum, wish: Wish) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": item.prompt_tokens,
        "input_cached_tokens": item.cached_tokens,
        "output_tokens": item.completion_tokens,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": item.num_model_requests,
        **_group(item, wish, "project_id", "api_key_id", "model", "batch"),
        "user_id": None,
        "service_tier": "default" if "service_tier" in wish.group_by else None,
    }


def embeddings_result(item: UsageSum, wish: Wish) -> dict[str, Any]:
    return {
        "object": "organization.usage.embeddings.result",
        "input_tokens": item.prompt_tokens,
        "num_model_requests": item.num_model_requests,
        **_group(item, wish, "project_id", "api_key_id", "model"),
        "user_id": None,
    }


def costs_result(item: UsageSum, wish: Wish) -> dict[str, Any]:
    """By the price list, as charged at the time. The line item is the model."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": item.price / PICODOLLARS, "currency": "usd"},
        **_group(item, wish, "project_id", "api_key_id", "line_item"),
        "quantity": None,
        "user_id": None,
    }


def _group(item: UsageSum, wish: Wish, *names: str) -> dict[str, Any]:
    return {name: item.of[DIMENSION_OF[name]] if name in wish.group_by else None for name in names}
