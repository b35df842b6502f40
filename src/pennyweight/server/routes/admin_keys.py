"""`/v1/organization/admin_api_keys`: keys for projects, keys and figures, and for nothing else."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import ADMIN_SCOPES
from pennyweight.server.envelope import json_response
from pennyweight.server.organization import Office, cursor_of
from pennyweight.server.organization_fields import CREATE_ADMIN_KEY
from pennyweight.server.organization_shapes import admin_key_object, deleted_object, list_object
from pennyweight.store.organization import NewKey

_PATH = "/v1/organization/admin_api_keys"


def admin_key_routes(office: Office) -> APIRouter:
    """The routes over one office."""
    router = APIRouter(tags=["organization"])
    database, organization = office.database, office.organization

    @router.post(_PATH, summary="Create an admin key", response_model=None)
    async def create(request: Request) -> Response:
        asked = await office.fields(request, CREATE_ADMIN_KEY)
        wanted = NewKey(name=asked["name"], scopes=ADMIN_SCOPES, expires_at=office.expiry(asked))
        issued = await database.write(
            lambda link: organization.issue_admin(link, wanted, now=office.now), at="admin_key.issued"
        )
        return json_response({**admin_key_object(issued.key), "value": issued.secret.text})

    @router.get(_PATH, summary="List admin keys", response_model=None)
    async def list_all(request: Request) -> Response:
        cursor = cursor_of(request)
        page = await database.read(lambda link: organization.keys.page(link, None, cursor))
        return json_response(list_object(page, admin_key_object))

    @router.get(_PATH + "/{key_id}", summary="Describe an admin key", response_model=None)
    async def get(request: Request) -> Response:
        own = request.path_params["key_id"]
        key = await database.read(lambda link: organization.keys.get(link, None, own))
        return json_response(admin_key_object(key))

    @router.delete(_PATH + "/{key_id}", summary="Revoke an admin key", response_model=None)
    async def delete(request: Request) -> Response:
        own = request.path_params["key_id"]
        await database.write(
            lambda link: organization.keys.revoke(link, None, own, now=office.now), at="admin_key.revoked"
        )
        return json_response(deleted_object("organization.admin_api_key", own))

    return router
