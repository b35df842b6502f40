"""Projects, service accounts and keys as OpenAI's objects, with every field its client's types require.

Source: the types of `openai.resources.admin.organization` in OpenAI's Python client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.server.organization_fields import NO_RATE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from pennyweight.core import Allowance
    from pennyweight.store.keys import Key
    from pennyweight.store.organization import IssuedKey
    from pennyweight.store.pages import Page
    from pennyweight.store.projects import Project
    from pennyweight.store.service_accounts import ServiceAccount

    T = TypeVar("T")

CENT = PICODOLLARS // 100
RATE_LIMIT_ID = "rl-all"


def list_object(page: Page[T], shape: Callable[[T], dict[str, Any]]) -> dict[str, Any]:
    """One page of a list."""
    data = [shape(item) for item in page.items]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": page.has_more,
    }


def project_object(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "object": "organization.project",
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.archived_at,
        "status": "active" if project.archived_at is None else "archived",
    }


def account_object(account: ServiceAccount) -> dict[str, Any]:
    return {
        "id": account.id,
        "object": "organization.project.service_account",
        "name": account.name,
        "role": account.role,
        "created_at": account.created_at,
    }


def key_object(key: Key, owners: Mapping[str, ServiceAccount]) -> dict[str, Any]:
    """A project's key; `owners` by id."""
    owner = owners.get(key.service_account_id or "")
    account = None if owner is None else {**account_object(owner)}
    return {
        "id": key.id,
        "object": "organization.project.api_key",
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "owner": {"type": "service_account", "service_account": account},
        "owner_project_access": "active",
        "scopes": sorted(key.scopes),
    }


def issued_key_object(issued: IssuedKey) -> dict[str, Any]:
    """A service account's new key, with its secret."""
    return {
        "id": issued.key.id,
        "object": "organization.project.service_account.api_key",
        "name": issued.key.name,
        "value": issued.secret.text,
        "created_at": issued.key.created_at,
        "expires_at": issued.key.expires_at,
    }


def admin_key_object(key: Key) -> dict[str, Any]:
    """Its owner is whoever runs the server: there are no users here."""
    owner = {"type": "user", "object": "organization.user", "id": "user-operator", "name": "operator"}
    return {
        "id": key.id,
        "object": "organization.admin_api_key",
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "owner": {**owner, "created_at": key.created_at, "role": "owner"},
    }


def spend_limit_object(budget: int, *, spent: int) -> dict[str, Any]:
    """`budget` and `spent` are in picodollars."""
    return {
        "object": "project.spend_limit",
        "currency": "USD",
        "interval": "month",
        "threshold_amount": budget // CENT,
        "enforcement": {"status": "enforcing" if spent >= budget else "inactive"},
    }


def rate_limit_object(allowance: Allowance) -> dict[str, Any]:
    """Of all models of a project together."""
    requests, tokens = allowance.requests_per_minute, allowance.tokens_per_minute
    trained = allowance.training_tokens
    return {
        "object": "project.rate_limit",
        "id": RATE_LIMIT_ID,
        "model": "*",
        "max_requests_per_1_minute": NO_RATE_LIMIT if requests is None else requests,
        "max_tokens_per_1_minute": NO_RATE_LIMIT if tokens is None else tokens,
        "max_training_tokens_per_1_month": NO_RATE_LIMIT if trained is None else trained,
    }


def deleted_object(kind: str, object_id: str) -> dict[str, Any]:
    return {"id": object_id, "object": f"{kind}.deleted", "deleted": True}
