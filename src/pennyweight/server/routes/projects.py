"""`/v1/organization/projects`: projects and what each may spend."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.errors import NotFoundError
from pennyweight.server.envelope import json_response
from pennyweight.server.organization import Office, cursor_of, wants_archived
from pennyweight.server.organization_fields import CREATE_PROJECT, SPEND_LIMIT, UPDATE_PROJECT
from pennyweight.server.organization_shapes import CENT, list_object, project_object, spend_limit_object
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PATH = "/v1/organization/projects"


def project_routes(office: Office) -> APIRouter:
    """The routes over one office."""
    router = APIRouter(tags=["organization"])
    database, projects = office.database, office.organization.projects

    @router.post(_PATH, summary="Create a project", response_model=None)
    async def create(request: Request) -> Response:
        name = (await office.fields(request, CREATE_PROJECT))["name"]
        made = await database.write(
            lambda link: projects.create(link, name=name, now=office.now), at="project.made"
        )
        return json_response(project_object(made))

    @router.get(_PATH, summary="List projects", response_model=None)
    async def list_all(request: Request) -> Response:
        cursor, archived = cursor_of(request), wants_archived(request)
        page = await database.read(lambda link: projects.page(link, cursor, archived=archived))
        return json_response(list_object(page, project_object))

    @router.get(_PATH + "/{project_id}", summary="Describe a project", response_model=None)
    async def get(request: Request) -> Response:
        own = request.path_params["project_id"]
        return json_response(project_object(await database.read(lambda link: projects.get(link, own))))

    @router.post(_PATH + "/{project_id}", summary="Rename a project", response_model=None)
    async def rename(request: Request) -> Response:
        own = request.path_params["project_id"]
        name = (await office.fields(request, UPDATE_PROJECT)).get("name")
        changed = await database.write(
            lambda link: projects.rename(link, own, name=name), at="project.renamed"
        )
        return json_response(project_object(changed))

    @router.post(_PATH + "/{project_id}/archive", summary="Archive a project", response_model=None)
    async def archive(request: Request) -> Response:
        own = request.path_params["project_id"]
        changed = await database.write(
            lambda link: office.organization.archive(link, own, now=office.now), at="project.archived"
        )
        return json_response(project_object(changed))

    _add_spend_limit(router, office)
    return router


def _add_spend_limit(router: APIRouter, office: Office) -> None:
    path = _PATH + "/{project_id}/spend_limit"
    database, organization = office.database, office.organization

    @router.get(path, summary="What a project may spend", response_model=None)
    async def get(request: Request) -> Response:
        own = request.path_params["project_id"]
        return json_response(await database.read(lambda link: _spend_limit(link, office, own)))

    @router.post(path, summary="Set what a project may spend", response_model=None)
    async def put(request: Request) -> Response:
        own = request.path_params["project_id"]
        cents = (await office.fields(request, SPEND_LIMIT))["threshold_amount"]

        def work(link: Connection) -> dict[str, Any]:
            allowance = organization.allowance(link, own)
            changed = replace(allowance, budget=cents * CENT, budget_period="month")
            organization.allowances.put(link, changed)
            return _spend_limit(link, office, own)

        return json_response(await database.write(work, at="spend_limit.set"))

    @router.delete(path, summary="Let a project spend without limit", response_model=None)
    async def delete(request: Request) -> Response:
        own = request.path_params["project_id"]

        def work(link: Connection) -> None:
            _spend_limit(link, office, own)
            organization.allowances.put(link, replace(organization.allowance(link, own), budget=None))

        await database.write(work, at="spend_limit.lifted")
        return json_response({"object": "project.spend_limit.deleted", "deleted": True})


def _spend_limit(link: Connection, office: Office, project_id: str) -> dict[str, Any]:
    budget = office.organization.allowance(link, project_id).budget
    if budget is None:
        raise NotFoundError(f"The project '{project_id:.80}' has no spend limit.", param="project_id")
    month = datetime.fromtimestamp(office.now, UTC).strftime("%Y-%m")
    [spent] = Spending().of(link, [(project_id, month)]).values()
    return spend_limit_object(budget, spent=spent)
