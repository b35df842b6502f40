"""A key as a person asks for it on the command line, checked before anything is opened."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.answers.name import Name
from pennyweight.answers.scopes import ADMIN_SCOPES, read_project_scopes
from pennyweight.core import Allowance
from pennyweight.cost.prices import PICODOLLARS
from pennyweight.errors import ConfigError
from pennyweight.store.organization import IssuedKey, NewKey, Organization
from pennyweight.store.projects import DEFAULT_PROJECT

if TYPE_CHECKING:
    from sqlalchemy import Connection

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DOLLARS: Final = 1_000_000
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """`project` is an id or a name, `new_project` the name of one to be made, `expires` such as `90d`."""

    name: str
    project: str | None = None
    new_project: str | None = None
    admin: bool = False
    scopes: tuple[str, ...] = ()
    expires: str | None = None
    limits: Allowance

    def check(self) -> None:
        """Raise ConfigError or InvalidRequestError if this cannot be had."""
        if self.admin and (self.project or self.new_project or self.scopes or not self.limits.is_empty):
            raise ConfigError("an admin key has no project, no other scopes and no limits; leave these out")
        if self.project and self.new_project:
            raise ConfigError("give --project or --new-project, not both")
        if not self.name.strip():
            raise ConfigError("the name of a key is empty; give it one")
        Name().read(self.name, "name")
        if self.new_project:
            Name().read(self.new_project, "--new-project")
        self.wanted(now=0)

    def wanted(self, *, now: int) -> NewKey:
        """With its time of expiry in seconds since 1970."""
        scopes = ADMIN_SCOPES if self.admin else read_project_scopes(self.scopes)
        expires_at = None if self.expires is None else now + seconds(self.expires)
        return NewKey(name=self.name, scopes=scopes, expires_at=expires_at)

    def issue(self, connection: Connection, *, now: int) -> IssuedKey:
        """Make it. Raises NotFoundError for a project that does not exist."""
        organization, wanted = Organization(), self.wanted(now=now)
        if self.admin:
            return organization.issue_admin(connection, wanted, now=now)
        project_id = DEFAULT_PROJECT
        if self.new_project:
            project_id = organization.projects.create(connection, name=self.new_project, now=now).id
        elif self.project:
            project_id = organization.projects.named(connection, self.project).id
        return organization.issue(connection, project_id, wanted, now=now, allowance=self.limits)


def limits(
    requests: int | None,
    tokens: int | None,
    trained: int | None,
    dollars: float | None,
    period: Literal["month", "total"],
) -> Allowance:
    """Limits of a key that has no id yet. Raises ConfigError for numbers that are none."""
    flags = {"--requests-per-minute": requests, "--tokens-per-minute": tokens, "--training-tokens": trained}
    for flag, number in flags.items():
        if number is not None and not 1 <= number <= _MOST:
            raise ConfigError(f"{flag} is {number}; it must be from 1 to {_MOST}")
    if dollars is not None and not (math.isfinite(dollars) and 0 <= dollars <= _MAX_DOLLARS):
        raise ConfigError(f"--budget is {dollars}; it must be from 0 to {_MAX_DOLLARS} US dollars")
    return Allowance(
        subject="",
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        budget=None if dollars is None else round(dollars * PICODOLLARS),
        budget_period=period,
        training_tokens=trained,
    )


def seconds(text: str) -> int:
    """`90d`, `12h`, `30m`, `10s`. Raises ConfigError."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise ConfigError(f"--expires is {text!r}; write a number and s, m, h or d, such as 90d")
    return int(found[1]) * _UNITS_S[found[2]]
