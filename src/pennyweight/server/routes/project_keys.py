"""`/v1/organization/projects/{id}/api_keys`: the keys of a project, without their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import read_project_scopes
from pennyweight.server.envelope import json_response
from pennyweight.server.organization import Office, cursor_of
from pennyweight.server.organization_fields import UPDATE_KEY
from pennyweight.server.organization_shapes import deleted_object, key_object, list_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pennyweight.store.keys import Key
    from pennyweight.store.service_accounts import ServiceAccount

_PATH = "/v1/organization/projects/{project_id}/api_keys"
_ONE = _PATH + "/{key_id}"


def project_key_routes(office: Office) -> APIRouter:
    """The routes over one office."""
    router = APIRouter(tags=["organization"])
    database, keys = office.database, office.organization.keys

    @router.get(_PATH, summary="List keys", response_model=None)
    async def list_all(request: Request) -> Response:
        project, cursor = request.path_params["project_id"], cursor_of(request)

        def work(link: Connection) -> dict[str, Any]:
            office.organization.projects.get(link, project)
            page = keys.page(link, project, cursor)
            owners = _owners(link, office, page.items)
            return list_object(page, lambda key: key_object(key, owners))

        return json_response(await database.read(work))

    @router.get(_ONE, summary="Describe a key", response_model=None)
    async def get(request: Request) -> Response:
        project, own = _place(request)

        def work(link: Connection) -> dict[str, Any]:
            key = keys.get(link, project, own)
            return key_object(key, _owners(link, office, [key]))

        return json_response(await database.read(work))

    @router.post(_ONE, summary="Change a key's scopes or expiry", response_model=None)
    async def change(request: Request) -> Response:
        project, own = _place(request)
        asked = await office.fields(request, UPDATE_KEY)
        scopes = read_project_scopes(asked["scopes"]) if "scopes" in asked else None
        expires_at = office.expiry(asked)

        def work(link: Connection) -> dict[str, Any]:
            key = keys.update(link, project, own, scopes=scopes, expires_at=expires_at)
            return key_object(key, _owners(link, office, [key]))

        return json_response(await database.write(work, at="key.changed"))

    @router.delete(_ONE, summary="Revoke a key", response_model=None)
    async def delete(request: Request) -> Response:
        project, own = _place(request)
        await database.write(lambda link: keys.revoke(link, project, own, now=office.now), at="key.revoked")
        return json_response(deleted_object("organization.project.api_key", own))

    return router


def _owners(link: Connection, office: Office, keys: Iterable[Key]) -> dict[str, ServiceAccount]:
    """The accounts of `keys`, by id."""
    accounts = office.organization.accounts
    wanted = {(key.project_id, key.service_account_id) for key in keys}
    return {
        account_id: accounts.get(link, project_id, account_id)
        for project_id, account_id in wanted
        if project_id is not None and account_id is not None
    }


def _place(request: Request) -> tuple[str, str]:
    return request.path_params["project_id"], request.path_params["key_id"]
