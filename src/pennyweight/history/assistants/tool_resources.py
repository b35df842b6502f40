"""`tool_resources`: which vector stores `file_search` looks into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.fields import ListOf, ParameterError, Text, unknown, wrong_type
from pennyweight.history.assistants.tools import FILE_SEARCH, no_code_interpreter
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

STORE_IDS: Final = "vector_store_ids"
_ONE_STORE: Final = ListOf(item=Text(empty=False), high=1)


@dataclass(frozen=True, slots=True)
class ToolResources:
    """`{"file_search": {"vector_store_ids": [...]}}`, with at most one id, as at OpenAI."""

    def read(self, value: object, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        for name, item in value.items():
            if name not in (FILE_SEARCH, "code_interpreter"):
                raise unknown(f"{param}.{name}", (FILE_SEARCH,))
            if name == "code_interpreter" and isinstance(item, dict) and item.get("file_ids"):
                raise no_code_interpreter(f"{param}.{name}")
        found = value.get(FILE_SEARCH)
        if found is None:
            return {}
        return {FILE_SEARCH: {STORE_IDS: list(_store_ids(found, f"{param}.{FILE_SEARCH}"))}}

    @property
    def schema(self) -> dict[str, Any]:
        ids = {"type": "object", "properties": {STORE_IDS: _ONE_STORE.schema}}
        return {"type": "object", "properties": {FILE_SEARCH: ids}}


def stores_of(resources: Mapping[str, Any]) -> list[str]:
    """The ids of the stores in tool resources that were read."""
    return list(resources.get(FILE_SEARCH, {}).get(STORE_IDS, ()))


def resources_with(resources: Mapping[str, Any], store_ids: Sequence[str]) -> dict[str, Any]:
    """`resources` with these stores."""
    return {**resources, FILE_SEARCH: {STORE_IDS: list(store_ids)}}


def check_stores(connection: Connection, project_id: str, resources: Mapping[str, Any]) -> None:
    """Raise NotFoundError for a store that is not the project's."""
    for store_id in stores_of(resources):
        VectorStores().get(connection, project_id, store_id)


def _store_ids(value: object, param: str) -> tuple[str, ...]:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    if value.get("vector_stores"):
        message = (
            f"'{param}.vector_stores' is for new assistants and threads alone: make the store, and give its "
            f"id in '{STORE_IDS}'."
        )
        raise ParameterError(message, param=f"{param}.vector_stores", code="unsupported_value")
    for name in value:
        if name not in (STORE_IDS, "vector_stores"):
            raise unknown(f"{param}.{name}", (STORE_IDS,))
    ids = value.get(STORE_IDS)
    return () if ids is None else _ONE_STORE.read(ids, f"{param}.{STORE_IDS}")
