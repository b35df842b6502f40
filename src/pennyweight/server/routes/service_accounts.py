"""`/v1/organization/projects/{id}/service_accounts`: who keys belong to, and new keys, shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import PROJECT_SCOPES, read_project_scopes
from pennyweight.errors import InvalidRequestError
from pennyweight.server.envelope import json_response
from pennyweight.server.organization import Office, cursor_of
from pennyweight.server.organization_fields import CREATE_ACCOUNT, CREATE_KEY, UPDATE_ACCOUNT
from pennyweight.server.organization_shapes import (
    account_object,
    deleted_object,
    issued_key_object,
    list_object,
)
from pennyweight.store.organization import IssuedKey, NewKey

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PATH = "/v1/organization/projects/{project_id}/service_accounts"
_ONE = _PATH + "/{account_id}"


def service_account_routes(office: Office) -> APIRouter:
    """The routes over one office."""
    router = APIRouter(tags=["organization"])
    _add_reading(router, office)
    _add_issuing(router, office)
    database, organization = office.database, office.organization

    @router.post(_ONE, summary="Change a service account", response_model=None)
    async def change(request: Request) -> Response:
        project, own = _place(request)
        asked = await office.fields(request, UPDATE_ACCOUNT)
        name, role = asked.get("name"), asked.get("role")
        changed = await database.write(
            lambda link: organization.accounts.update(link, project, own, name=name, role=role),
            at="service_account.changed",
        )
        return json_response(account_object(changed))

    @router.delete(_ONE, summary="Delete a service account and its keys", response_model=None)
    async def delete(request: Request) -> Response:
        project, own = _place(request)
        await database.write(
            lambda link: organization.delete_account(link, project, own, now=office.now),
            at="service_account.deleted",
        )
        return json_response(deleted_object("organization.project.service_account", own))

    return router


def _add_reading(router: APIRouter, office: Office) -> None:
    database, organization = office.database, office.organization

    @router.get(_PATH, summary="List service accounts", response_model=None)
    async def list_all(request: Request) -> Response:
        project, cursor = request.path_params["project_id"], cursor_of(request)

        def work(link: Connection) -> dict[str, Any]:
            organization.projects.get(link, project)
            return list_object(organization.accounts.page(link, project, cursor), account_object)

        return json_response(await database.read(work))

    @router.get(_ONE, summary="Describe a service account", response_model=None)
    async def get(request: Request) -> Response:
        project, own = _place(request)
        account = await database.read(lambda link: organization.accounts.get(link, project, own))
        return json_response(account_object(account))


def _add_issuing(router: APIRouter, office: Office) -> None:
    database, organization = office.database, office.organization

    @router.post(_PATH, summary="Create a service account with a key", response_model=None)
    async def create(request: Request) -> Response:
        project = request.path_params["project_id"]
        asked = await office.fields(request, CREATE_ACCOUNT)
        only = asked.get("create_service_account_only", False)
        if only and "expires_in_seconds" in asked:
            message = "'expires_in_seconds' is of the key that 'create_service_account_only' does not make."
            raise InvalidRequestError(message, param="expires_in_seconds")
        wanted = NewKey(name=asked["name"], scopes=PROJECT_SCOPES, expires_at=office.expiry(asked))

        def work(link: Connection) -> dict[str, Any]:
            account = organization.create_account(
                link, project, name=wanted.name, role="none" if only else "member", now=office.now
            )
            if only:
                return {**account_object(account), "api_key": None}
            issued = organization.issue(link, project, wanted, now=office.now, account=account)
            return {**account_object(account), "api_key": issued_key_object(issued)}

        return json_response(await database.write(work, at="service_account.made"))

    @router.post(_ONE + "/api_keys", summary="Create a key", response_model=None)
    async def create_key(request: Request) -> Response:
        project, own = _place(request)
        asked = await office.fields(request, CREATE_KEY)
        scopes = read_project_scopes(asked.get("scopes", ()))
        expires_at = office.expiry(asked)

        def work(link: Connection) -> IssuedKey:
            account = organization.accounts.get(link, project, own)
            wanted = NewKey(name=asked.get("name", account.name), scopes=scopes, expires_at=expires_at)
            return organization.issue(link, project, wanted, now=office.now, account=account)

        return json_response(issued_key_object(await database.write(work, at="key.issued")))


def _place(request: Request) -> tuple[str, str]:
    return request.path_params["project_id"], request.path_params["account_id"]
