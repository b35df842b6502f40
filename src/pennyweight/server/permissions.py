"""Which scope a request needs, by its method and path. What is not named here needs the scope of its noun."""

from __future__ import annotations

from typing import Final

from pennyweight.answers.scopes import (
    MANAGEMENT_READ,
    MANAGEMENT_WRITE,
    METRICS_READ,
    MODEL_REQUEST,
)

OPEN_PATHS: Final = frozenset({"/", "/docs", "/favicon.ico", "/health", "/live", "/openapi.json"})
"""What everybody may see: it tells nothing of anybody."""

_ASKS_A_MODEL: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/moderations",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/tokenize",
        "/detokenize",
        "/tokenizer_info",
    }
)

_MAKES_KEYS: Final = ("/api_keys", "/admin_api_keys", "/service_accounts")


def makes_keys(method: str, path: str) -> bool:
    """Whether the request asks for a new key, whose secret is told once, or for an account to have keys."""
    return method == "POST" and path.startswith("/v1/organization/") and path.endswith(_MAKES_KEYS)


def needed_scope(method: str, path: str) -> str | None:
    """None: any key will do."""
    if path == "/metrics":
        return METRICS_READ
    reading = method in ("GET", "HEAD", "OPTIONS")
    if path.startswith("/v1/organization/"):
        return MANAGEMENT_READ if reading else MANAGEMENT_WRITE
    if path in _ASKS_A_MODEL and (method == "POST" or path == "/tokenizer_info"):
        return MODEL_REQUEST
    parts = path.split("/")
    reading = reading or (parts[2:3] == ["vector_stores"] and parts[-1] == "search")
    if parts[1] != "v1" or len(parts) < 3 or (parts[2] == "models" and reading):
        return None
    return f"api.{parts[2]}.{'read' if reading else 'write'}"
