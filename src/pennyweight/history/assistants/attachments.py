"""Files beside a message: put into the thread's vector store, where `file_search` finds them.

A thread without a store, or whose store is gone, gets one that is emptied seven days after its last use, as
at OpenAI.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.fields import ParameterError, Text, missing, unknown, wrong_type
from pennyweight.errors import NotFoundError
from pennyweight.history.assistants.tool_resources import resources_with, stores_of
from pennyweight.history.assistants.tools import FILE_SEARCH, no_code_interpreter
from pennyweight.store.identifiers import new_id
from pennyweight.store.threads import Threads
from pennyweight.store.vector_store import NewStoreFile, NewVectorStore
from pennyweight.store.vector_store_files import VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.vector_store import VectorStore

STORE_DAYS: Final = 7
_ITEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file_id", "tools"],
    "properties": {
        "file_id": {"type": "string"},
        "tools": {"type": "array", "items": {"properties": {"type": {"const": FILE_SEARCH}}}},
    },
}


@dataclass(frozen=True, slots=True)
class Attachments:
    """`{"file_id": ..., "tools": [{"type": "file_search"}]}` for each; told again as read."""

    def read(self, value: object, param: str) -> list[dict[str, Any]]:
        if not isinstance(value, list | tuple):
            raise wrong_type(param, "an array of objects", value)
        return [_attachment(item, f"{param}[{index}]") for index, item in enumerate(value)]

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": _ITEM}


def attach(
    connection: Connection, project_id: str, thread_id: str, file_ids: Sequence[str], *, now: int
) -> None:
    """Put files into the thread's store. Raises NotFoundError for one that is not there."""
    if not file_ids:
        return
    threads, stores = Threads(), VectorStores()
    resources = dict(threads.get(connection, project_id, thread_id).tool_resources)
    store = _own_store(connection, project_id, resources, now)
    if store is None:
        new = NewVectorStore(
            id=new_id("vs_"), project_id=project_id, created_at=now, expires_after_days=STORE_DAYS
        )
        store = stores.add(connection, new)
        told = resources_with(resources, [store.id])
        threads.change(connection, project_id, thread_id, metadata=None, tool_resources=told)
    new_files = [NewStoreFile(id=file_id) for file_id in dict.fromkeys(file_ids)]
    VectorStoreFiles().add(connection, store, new_files, now=now)


def _own_store(
    connection: Connection, project_id: str, resources: Mapping[str, Any], now: int
) -> VectorStore | None:
    """None: there is none yet, or it is gone. A file in one that has expired would never be found."""
    for store_id in stores_of(resources):
        with suppress(NotFoundError):
            store = VectorStores().get(connection, project_id, store_id)
            return None if store.has_expired(now) else store
    return None


def _attachment(value: object, param: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for name in value:
        if name not in ("file_id", "tools"):
            raise unknown(f"{param}.{name}", ("file_id", "tools"))
    for name in ("file_id", "tools"):
        if value.get(name) is None:
            raise missing(f"{param}.{name}")
    tools = value["tools"]
    if not isinstance(tools, list | tuple):
        raise wrong_type(f"{param}.tools", "an array of objects", tools)
    for index, tool in enumerate(tools):
        _check_tool(tool, f"{param}.tools[{index}]")
    file_id = Text(empty=False).read(value["file_id"], f"{param}.file_id")
    return {"file_id": file_id, "tools": [{"type": FILE_SEARCH}]}


def _check_tool(tool: object, param: str) -> None:
    if not isinstance(tool, dict):
        raise wrong_type(param, "an object", tool)
    kind = tool.get("type")
    if kind == "code_interpreter":
        raise no_code_interpreter(f"{param}.type")
    if kind != FILE_SEARCH:
        message = f"'{param}.type' is {kind!r:.80}; it must be 'file_search'."
        raise ParameterError(message, param=f"{param}.type", code="invalid_value")
