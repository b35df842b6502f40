"""Killed after every write about projects, keys, limits, usage, repeated requests, and while it tidies up."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.cost.prices import PICODOLLARS
from tests.jobs.places import OFFICE, RETENTION, of_today
from tests.jobs.service import GONE, Service
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 4,
}
BROKEN = (*GONE, httpx.HTTPError)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


class Office:
    """Makes, changes and revokes as an administrator, asks as a tenant, and remembers what it was told.

    None stands for what is not known: it was to be changed when the server died.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        service.key = service.issue()
        self._tenant = service.issue("api.all", budget=PICODOLLARS)
        self.names: dict[str, str | None] = {}
        self.archived: set[str] = set()
        self.spend_limits: dict[str, int | None] = {}
        self.rates: dict[str, int | None] = {}
        self.accounts: dict[tuple[str, str], str | None] = {}
        self.opens: dict[str, bool | None] = {}  # secrets
        self.answers: dict[str, str] = {}  # ids by Idempotency-Key
        self.num_counted = 0  # answers whose usage must be there

    def exercise(self) -> None:
        """Everything once; returns early when the server has gone."""
        with suppress(*BROKEN), self._service.client as client:
            organization = client.admin.organization
            project = self._project(organization)
            self._account(organization, project)
            self._admin_key(organization)
            self._ask()
            self.archived.add(project)  # not known until the answer comes, and then true
            self.names[project] = None
            organization.projects.archive(project)
            self.names[project] = "two"

    def check(self) -> None:
        """All that was acknowledged is so."""
        organization = self._service.client.admin.organization
        for project, name in self.names.items():
            found = organization.projects.retrieve(project)
            assert name in (None, found.name)
            assert project in self.archived or found.status == "active"
            assert name is None or project not in self.archived or found.status == "archived"
        for project, cents in self.spend_limits.items():
            if cents is not None:
                assert organization.projects.spend_limit.retrieve(project).threshold_amount == cents
        for project, rate in self.rates.items():
            (limit,) = organization.projects.rate_limits.list_rate_limits(project)
            assert rate in (None, limit.max_requests_per_1_minute)
        for (project, account), name in self.accounts.items():
            found = organization.projects.service_accounts.retrieve(account, project_id=project)
            assert name in (None, found.name)
        for secret, opens in self.opens.items():
            assert opens in (None, self._opens(secret))
        for key, answer_id in self.answers.items():
            assert self._asked(key) == answer_id, "it is told again, not done again"
        (counted,) = self._service.sql("SELECT count(*) FROM usage WHERE outcome = 'completed'")
        assert counted[0] >= self.num_counted

    def _project(self, organization: Any) -> str:
        projects = organization.projects
        project: str = projects.create(name="one").id
        self.names[project] = None
        projects.update(project, name="two")
        self.names[project] = "two"
        limits = projects.spend_limit
        limits.update(project, currency="USD", interval="month", threshold_amount=250)
        self.spend_limits[project] = None
        limits.delete(project)
        del self.spend_limits[project]
        limits.update(project, currency="USD", interval="month", threshold_amount=400)
        self.spend_limits[project] = 400
        self.rates[project] = None
        projects.rate_limits.update_rate_limit("rl-all", project_id=project, max_requests_per_1_minute=7)
        self.rates[project] = 7
        return project

    def _account(self, organization: Any, project: str) -> None:
        accounts, keys = organization.projects.service_accounts, organization.projects.api_keys
        account = accounts.create(project, name="one")
        self.opens[account.api_key.value] = True
        self.accounts[project, account.id] = None
        accounts.update(account.id, project_id=project, name="two")
        self.accounts[project, account.id] = "two"
        more = accounts.api_keys.create(account.id, project_id=project, name="more")
        self.opens[more.value] = True
        keys.update(more.id, project_id=project, scopes=["api.all.read"])
        self.opens[more.value] = None
        keys.delete(more.id, project_id=project)
        self.opens[more.value] = False
        gone = accounts.create(project, name="gone")
        self.opens[gone.api_key.value] = None
        accounts.delete(gone.id, project_id=project)
        self.opens[gone.api_key.value] = False
        self.opens[account.api_key.value] = None  # its project is archived in the end

    def _admin_key(self, organization: Any) -> None:
        made = organization.admin_api_keys.create(name="second")
        self.opens[made.value] = None
        organization.admin_api_keys.delete(made.id)
        self.opens[made.value] = False

    def _ask(self) -> None:
        key = f"key-{len(self.answers)}-{time.monotonic_ns()}"
        answer_id = self._asked(key)
        self.answers[key] = answer_id
        time.sleep(1.2)  # more than a second: its usage and its price are durable
        with self._service.client as client:
            client.admin.organization.projects.list()  # the server lives
        self.num_counted += 1

    def _asked(self, key: str) -> str:
        with self._service.client as client:
            tenant = client.with_options(api_key=self._tenant)
            headers = {"Idempotency-Key": key}
            return tenant.chat.completions.create(**ASK, extra_headers=headers).id

    def _opens(self, secret: str) -> bool:
        path = "organization/projects" if secret.startswith("sk-admin-") else "models"
        with self._service.client as client:
            url = f"{client.base_url}{path}"
        return httpx.get(url, headers={"authorization": f"Bearer {secret}"}).status_code == 200


def test_killed_once_after_every_durable_write(service: Service) -> None:
    office = Office(service)
    for place in of_today(OFFICE):
        service.start(failpoint=place)
        office.exercise()
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    service.start()
    office.exercise()
    office.check()
    service.stop()
    service.verify()


@pytest.mark.parametrize("place", of_today(RETENTION))
def test_killed_while_it_tidies_up(service: Service, place: str) -> None:
    """What is too old goes at the next start, what is not stays."""
    service.start()
    client = service.client
    old = client.responses.create(model="gpt-4o-mini", input="Hi", max_output_tokens=4).id
    client.chat.completions.create(**ASK, extra_headers={"Idempotency-Key": "a"})
    service.stop()
    service.sql("UPDATE generations SET ended_at = 1")
    service.sql("UPDATE idempotent_answers SET created_at = 1")
    service.sql("UPDATE usage SET ended_at = 1")
    service.start(failpoint=place)
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    service.start()
    client = service.client
    new = client.responses.create(model="gpt-4o-mini", input="Hi", max_output_tokens=4).id
    service.stop()  # after what it began with
    service.verify()
    assert service.sql("SELECT id FROM generations") == [(new,)]
    assert service.sql("SELECT key FROM idempotent_answers") == []
    assert len(service.sql("SELECT request_id FROM usage")) == 1
    assert old != new
