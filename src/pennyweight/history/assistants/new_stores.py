"""`vector_stores` in the tool resources of a new assistant or thread: a store made with it, files in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import (
    Field,
    Integer,
    ListOf,
    OneOf,
    ParameterError,
    Text,
    unknown,
    wrong_type,
)
from pennyweight.history.assistants.tool_resources import STORE_IDS, ToolResources, check_stores
from pennyweight.history.assistants.tools import FILE_SEARCH
from pennyweight.history.metadata import METADATA
from pennyweight.history.nested import Nested
from pennyweight.store.identifiers import new_id
from pennyweight.store.vector_store import NewStoreFile, NewVectorStore, StaticChunking
from pennyweight.store.vector_store_files import VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_WISHES: Final = "vector_stores"
_MOST_FILES: Final = 10_000
_FILE_IDS: Final = ListOf(item=Text(empty=False), high=_MOST_FILES)
_SIZE: Final = Integer(low=100, high=4096)


@dataclass(frozen=True, slots=True)
class Chunking:
    """`auto`, which is None here, or `static` with its sizes."""

    def read(self, value: object, param: str) -> StaticChunking | None:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        kind = OneOf(("auto", "static")).read(value.get("type"), f"{param}.type")
        if kind == "auto":
            return None
        sizes = value.get("static")
        if not isinstance(sizes, dict):
            raise wrong_type(f"{param}.static", "an object", sizes)
        most = _SIZE.read(sizes.get("max_chunk_size_tokens"), f"{param}.static.max_chunk_size_tokens")
        shared = Integer(low=0, high=most // 2)
        overlap = shared.read(sizes.get("chunk_overlap_tokens"), f"{param}.static.chunk_overlap_tokens")
        return StaticChunking(max_tokens=most, overlap_tokens=overlap)

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["auto", "static"]}}}


_STORE: Final = Nested(
    FieldTables(
        honoured=(
            Field(
                name="file_ids", kind=ListOf(item=Text(empty=False), high=_MOST_FILES), doc="What is in it."
            ),
            Field(name="chunking_strategy", kind=Chunking(), doc="As in `POST /v1/vector_stores`."),
            METADATA,
        ),
        advisory=(),
        neutral=(),
        required=(),
    )
)
_STORES: Final = ListOf(item=_STORE, high=1)


@dataclass(frozen=True, slots=True)
class NewToolResources:
    """As `ToolResources`, or with `vector_stores` in place of ids: one store, to be made."""

    def read(self, value: object, param: str) -> dict[str, Any]:
        wanted = value.get(FILE_SEARCH) if isinstance(value, dict) else None
        if not isinstance(wanted, dict) or not wanted.get(_WISHES):
            return ToolResources().read(value, param)
        assert isinstance(value, dict)
        ToolResources().read({**value, FILE_SEARCH: None}, param)
        place = f"{param}.{FILE_SEARCH}"
        for name in wanted:
            if name not in (STORE_IDS, _WISHES):
                raise unknown(f"{place}.{name}", (STORE_IDS, _WISHES))
        if wanted.get(STORE_IDS):
            message = (
                f"'{place}' has '{STORE_IDS}' and '{_WISHES}', and searches one store; send one of them."
            )
            raise ParameterError(message, param=place, code="invalid_parameter_combination")
        return {FILE_SEARCH: {_WISHES: list(_STORES.read(wanted[_WISHES], f"{place}.{_WISHES}"))}}

    @property
    def schema(self) -> dict[str, Any]:
        return ToolResources().schema


def settled(
    connection: Connection, project_id: str, resources: Mapping[str, Any], *, now: int
) -> dict[str, Any]:
    """`resources` with the ids of stores that are there, those wished for made.

    Raises NotFoundError for a store or a file that is not the project's.
    """
    wishes = resources.get(FILE_SEARCH, {}).get(_WISHES)
    if wishes is None:
        check_stores(connection, project_id, resources)
        return dict(resources)
    made = [_made(connection, project_id, wish, now) for wish in wishes]
    return {**resources, FILE_SEARCH: {STORE_IDS: made}}


def _made(connection: Connection, project_id: str, wish: Mapping[str, Any], now: int) -> str:
    new = NewVectorStore(
        id=new_id("vs_"), project_id=project_id, created_at=now, metadata=wish.get("metadata", {})
    )
    store = VectorStores().add(connection, new)
    chunking = wish.get("chunking_strategy")
    files = [NewStoreFile(id=one, chunking=chunking) for one in dict.fromkeys(wish.get("file_ids", ()))]
    VectorStoreFiles().add(connection, store, files, now=now)
    return store.id
