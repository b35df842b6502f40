"""The bodies of `/v1/organization`: projects, service accounts, keys, spend limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import Field, Flag, Integer, ListOf, OneOf, Text
from pennyweight.answers.name import Name
from pennyweight.server.paging import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_SCOPES: Final = 64
_LIMIT: Final = Integer(low=1, high=100)
_LONGEST_S: Final = 100 * 366 * 24 * 60 * 60
_NAME: Final = Field(name="name", kind=Name(empty=False), doc="What people call it; need not be unique.")
_EXPIRES: Final = Field(
    name="expires_in_seconds",
    kind=Integer(low=1, high=_LONGEST_S),
    doc="Seconds from now until the key opens nothing any more; by default it does not expire.",
)
_SCOPES: Final = Field(
    name="scopes",
    kind=ListOf(item=Text(empty=False), high=_MAX_SCOPES),
    doc="What the key may do (`docs/service.md`); none, or an empty list: everything in its project.",
)
_ELSEWHERE: Final = "data stays on this machine"
_RESIDENCY: Final = (
    Neutral(name="geography", values=(), reason=_ELSEWHERE),
    Neutral(name="residency", values=(), reason=_ELSEWHERE),
    Neutral(name="external_key_id", values=(), reason="keys of other systems are not used here"),
)


def _table(*fields: Field, required: tuple[str, ...] = (), neutral: tuple[Neutral, ...] = ()) -> FieldTables:
    return FieldTables(honoured=fields, advisory=(), neutral=neutral, required=required)


CREATE_PROJECT: Final = _table(_NAME, required=("name",), neutral=_RESIDENCY)
UPDATE_PROJECT: Final = _table(_NAME, neutral=tuple(item for item in _RESIDENCY if item.name != "residency"))
CREATE_ACCOUNT: Final = _table(
    _NAME,
    Field(
        name="create_service_account_only",
        kind=Flag(),
        doc="Make no key with it; its role is then `none`.",
    ),
    _EXPIRES,
    required=("name",),
)
UPDATE_ACCOUNT: Final = _table(
    _NAME,
    Field(name="role", kind=OneOf(("member", "owner")), doc="Told with the account; scopes decide."),
)
CREATE_KEY: Final = _table(_NAME, _EXPIRES, _SCOPES)
UPDATE_KEY: Final = _table(_EXPIRES, _SCOPES)
CREATE_ADMIN_KEY: Final = _table(_NAME, _EXPIRES, required=("name",))
NO_RATE_LIMIT: Final = 2**31 - 1
"""Stands for no limit: clients' types want a number."""
_RATE: Final = Integer(low=1, high=NO_RATE_LIMIT)
_NOT_LIMITED: Final = "only requests and tokens per minute and training are limited here"
RATE_LIMIT: Final = _table(
    Field(
        name="max_requests_per_1_minute",
        kind=_RATE,
        doc=f"Requests to models; {NO_RATE_LIMIT}: as many as come.",
    ),
    Field(
        name="max_tokens_per_1_minute",
        kind=_RATE,
        doc=f"Tokens, read and written; {NO_RATE_LIMIT}: as many as come.",
    ),
    Field(
        name="max_training_tokens_per_1_month",
        kind=_RATE,
        doc=f"Tokens that fine-tuning trains in a calendar month; {NO_RATE_LIMIT}: as many as it likes.",
    ),
    neutral=tuple(
        Neutral(name=name, values=(), reason=_NOT_LIMITED)
        for name in (
            "max_requests_per_1_day",
            "max_images_per_1_minute",
            "max_audio_megabytes_per_1_minute",
            "batch_1_day_max_input_tokens",
        )
    ),
)
SPEND_LIMIT: Final = _table(
    Field(name="currency", kind=OneOf(("USD",)), doc="US dollars."),
    Field(name="interval", kind=OneOf(("month",)), doc="A calendar month, UTC."),
    Field(
        name="threshold_amount",
        kind=Integer(low=0, high=100_000_000),
        doc="Cents. A request that could cost more than is left is refused with `insufficient_quota`.",
    ),
    required=("currency", "interval", "threshold_amount"),
)


def read_query(query: Mapping[str, str]) -> dict[str, Any]:
    """The query of a list, checked by `LIST_QUERY`. Raises ParameterError."""
    numbers = {"limit": whole_number(query["limit"], "limit", _LIMIT)} if "limit" in query else {}
    flags = {"include_archived": query["include_archived"] == "true"} if "include_archived" in query else {}
    return LIST_QUERY.read({**query, **numbers, **flags})


LIST_QUERY: Final = _table(
    Field(name="after", kind=Text(), doc="Begin behind the object with this id."),
    Field(name="limit", kind=_LIMIT, doc="Most objects of a page; by default 20."),
    Field(name="order", kind=OneOf(("asc", "desc")), doc="By time of creation; by default `asc`."),
    Field(name="include_archived", kind=Flag(), doc="Archived projects as well."),
    Field(
        name="owner_project_access",
        kind=OneOf(("active", "any")),
        doc="Keys whose owner has access; here every owner of a key has.",
    ),
)
