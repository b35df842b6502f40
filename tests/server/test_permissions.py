"""Which scope each request needs; a route nobody thought of needs one as well."""

from __future__ import annotations

import pytest

from pennyweight.server.permissions import needed_scope


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/chat/completions", "model.request"),
        ("POST", "/v1/responses", "model.request"),
        ("POST", "/v1/responses/input_tokens", "model.request"),
        ("POST", "/v1/embeddings", "model.request"),
        ("POST", "/tokenize", "model.request"),
        ("GET", "/tokenizer_info", "model.request"),
        ("GET", "/v1/chat/completions", "api.chat.read"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1", "api.chat.write"),
        ("POST", "/v1/responses/resp_1/cancel", "api.responses.write"),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/x", None),
        ("DELETE", "/v1/models/x", "api.models.write"),
        ("GET", "/v1/files/file-1/content", "api.files.read"),
        ("POST", "/v1/files", "api.files.write"),
        ("HEAD", "/v1/files", "api.files.read"),
        ("POST", "/v1/nobody/thought/of", "api.nobody.write"),
        ("GET", "/v1/organization/projects", "api.management.read"),
        ("POST", "/v1/organization/projects", "api.management.write"),
        ("GET", "/v1/organization/usage/completions", "api.management.read"),
        ("GET", "/metrics", "metrics.read"),
        ("GET", "/nowhere", None),
        ("GET", "/v1", None),
    ],
)
def test_scopes(method: str, path: str, scope: str | None) -> None:
    assert needed_scope(method, path) == scope
