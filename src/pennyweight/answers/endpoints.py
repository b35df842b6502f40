"""The endpoints that compute, by path: what a route and a line of a batch both run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pennyweight.answers.chat_exchange import ChatExchange
from pennyweight.answers.completion_exchange import CompletionExchange
from pennyweight.answers.embedding_exchange import EmbeddingExchange
from pennyweight.answers.exchange import Exchange
from pennyweight.answers.responses_exchange import ResponsesExchange

if TYPE_CHECKING:
    from pennyweight.answers.embedding_exchange import EmbeddingBackend
    from pennyweight.answers.exchange import Backend

Endpoint = Callable[[Mapping[str, object], str], Exchange]
"""A body from a project, understood.

Raises ParameterError or ModelNotFoundError for one that cannot be honoured.
"""

Endpoints = Mapping[str, Endpoint]


def endpoints_over(backend: Backend, vectors: EmbeddingBackend) -> Endpoints:
    """All of them."""
    return {
        "/v1/chat/completions": partial(ChatExchange, backend),
        "/v1/completions": partial(CompletionExchange, backend),
        "/v1/responses": partial(ResponsesExchange, backend),
        "/v1/embeddings": partial(EmbeddingExchange, vectors),
    }
