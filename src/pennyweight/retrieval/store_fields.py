"""Bodies of `/v1/vector_stores` and below: fields are honoured or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import (
    Field,
    Integer,
    ListOf,
    Number,
    OneOf,
    ParameterError,
    Text,
    TextMap,
    missing,
    unknown,
    wrong_type,
)
from pennyweight.answers.name import Name
from pennyweight.store.vector_store import NewStoreFile, StaticChunking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.vector_store import Attributes

MAX_FILES: Final = 500
"""In one request that makes a store, as OpenAI has it."""
MAX_BATCH_FILES: Final = 2000
_MAX_ATTRIBUTES: Final = 16
_KEY_CHARS: Final = 64
_VALUE_CHARS: Final = 512
_NUMBERS: Final = Number(low=-1e308, high=1e308)
_CHUNK_TOKENS: Final = Integer(low=100, high=4096)
_DAYS: Final = Integer(low=1, high=365)


@dataclass(frozen=True, slots=True)
class AttributeMap:
    """Texts, numbers and booleans by name, within OpenAI's lengths."""

    def read(self, value: object, param: str) -> Attributes:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        if len(value) > _MAX_ATTRIBUTES:
            message = f"'{param}' has {len(value)} entries; it may have {_MAX_ATTRIBUTES}."
            raise ParameterError(message, param=param, code="object_above_max_properties")
        TextMap(high=_MAX_ATTRIBUTES).read(dict.fromkeys(value, ""), param)  # the names
        return {name: self._value(item, f"{param}.{name}") for name, item in value.items()}

    def _value(self, value: object, param: str) -> str | float | bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return _NUMBERS.read(value, param)
        if not isinstance(value, str):
            raise wrong_type(param, "a string, a number or a boolean", value)
        text: str = TextMap().read({"": value}, param)[""]
        return text

    @property
    def schema(self) -> dict[str, Any]:
        value = {"type": ["string", "number", "boolean"], "maxLength": _VALUE_CHARS}
        return {
            "type": "object",
            "maxProperties": _MAX_ATTRIBUTES,
            "propertyNames": {"maxLength": _KEY_CHARS},
            "additionalProperties": value,
        }


@dataclass(frozen=True, slots=True)
class ChunkingStrategy:
    """`{"type": "auto"}`, or `static` with its sizes; None is auto."""

    def read(self, value: object, param: str) -> StaticChunking | None:
        fields = _object(value, param, ("type", "static"))
        kind = OneOf(("auto", "static")).read(fields.get("type"), f"{param}.type")
        if kind == "auto":
            _object(value, param, ("type",))
            return None
        if "static" not in fields:
            raise missing(f"{param}.static")
        param = f"{param}.static"
        sizes = _object(fields["static"], param, ("max_chunk_size_tokens", "chunk_overlap_tokens"))
        for name in ("max_chunk_size_tokens", "chunk_overlap_tokens"):
            if name not in sizes:
                raise missing(f"{param}.{name}")
        most = _CHUNK_TOKENS.read(sizes["max_chunk_size_tokens"], f"{param}.max_chunk_size_tokens")
        shared = Integer(low=0, high=most // 2)
        overlap = shared.read(sizes["chunk_overlap_tokens"], f"{param}.chunk_overlap_tokens")
        return StaticChunking(max_tokens=most, overlap_tokens=overlap)

    @property
    def schema(self) -> dict[str, Any]:
        sizes = {
            "max_chunk_size_tokens": _CHUNK_TOKENS.schema,
            "chunk_overlap_tokens": {"type": "integer", "minimum": 0},
        }
        static = {"type": "object", "required": list(sizes), "properties": sizes}
        properties = {"type": {"enum": ["auto", "static"]}, "static": static}
        return {"type": "object", "required": ["type"], "properties": properties}


@dataclass(frozen=True, slots=True)
class ExpiresAfterUse:
    """`{"anchor": "last_active_at", "days": ...}`; its value here are the days."""

    def read(self, value: object, param: str) -> int:
        fields = _object(value, param, ("anchor", "days"))
        OneOf(("last_active_at",)).read(fields.get("anchor"), f"{param}.anchor")
        return _DAYS.read(fields.get("days"), f"{param}.days")

    @property
    def schema(self) -> dict[str, Any]:
        properties = {"anchor": {"enum": ["last_active_at"]}, "days": _DAYS.schema}
        return {"type": "object", "properties": properties, "required": ["anchor", "days"]}


@dataclass(frozen=True, slots=True)
class BatchFile:
    """`{"file_id": ..., "attributes": ..., "chunking_strategy": ...}`."""

    def read(self, value: object, param: str) -> NewStoreFile:
        fields = _object(value, param, ("file_id", "attributes", "chunking_strategy"))
        if "file_id" not in fields:
            raise missing(f"{param}.file_id")
        given = {name: item for name, item in fields.items() if item is not None}
        return NewStoreFile(
            id=Text(empty=False).read(fields["file_id"], f"{param}.file_id"),
            attributes=AttributeMap().read(given["attributes"], f"{param}.attributes")
            if "attributes" in given
            else None,
            chunking=ChunkingStrategy().read(given["chunking_strategy"], f"{param}.chunking_strategy")
            if "chunking_strategy" in given
            else None,
        )

    @property
    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["file_id"],
            "properties": {
                "file_id": {"type": "string"},
                "attributes": AttributeMap().schema,
                "chunking_strategy": ChunkingStrategy().schema,
            },
        }


def _object(value: object, param: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for name in value:
        if name not in known:
            raise unknown(f"{param}.{name}", [f"{param}.{one}" for one in known])
    return value


_NAME = Field(name="name", kind=Name(), doc="Told again; names need not differ.")
_METADATA = Field(name="metadata", kind=TextMap(), doc="Kept and told again.")
_EXPIRES = Field(
    name="expires_after",
    kind=ExpiresAfterUse(),
    doc="The store loses what is in it so many days after it was last searched or changed.",
)
_ATTRIBUTES = Field(name="attributes", kind=AttributeMap(), doc="What searches can filter by.")
_CHUNKING = Field(
    name="chunking_strategy",
    kind=ChunkingStrategy(),
    doc="`auto` (the default): chunks of what the embedding model reads at a time, cut between paragraphs "
    "and sentences; `static`: of at most so many of its tokens, neighbours sharing at most so many.",
)
CREATE_STORE: Final = FieldTables(
    honoured=(
        _NAME,
        Field(name="description", kind=Text(), doc="Kept."),
        Field(
            name="file_ids",
            kind=ListOf(item=Text(empty=False), high=MAX_FILES),
            doc="Files to be read into the store, which goes on after the answer.",
        ),
        _CHUNKING,
        _EXPIRES,
        _METADATA,
    ),
    advisory=(),
    neutral=(),
    required=(),
)
UPDATE_STORE: Final = FieldTables(honoured=(_NAME, _EXPIRES, _METADATA), advisory=(), neutral=(), required=())
ADD_FILE: Final = FieldTables(
    honoured=(
        Field(
            name="file_id", kind=Text(empty=False), doc="An uploaded file; one that is there is read anew."
        ),
        _ATTRIBUTES,
        _CHUNKING,
    ),
    advisory=(),
    neutral=(),
    required=("file_id",),
)
UPDATE_FILE: Final = FieldTables(honoured=(_ATTRIBUTES,), advisory=(), neutral=(), required=("attributes",))
ADD_BATCH: Final = FieldTables(
    honoured=(
        Field(
            name="file_ids",
            kind=ListOf(item=Text(empty=False), low=1, high=MAX_BATCH_FILES),
            doc="Uploaded files, all with the same attributes and chunking.",
        ),
        Field(
            name="files",
            kind=ListOf(item=BatchFile(), low=1, high=MAX_BATCH_FILES),
            doc="Instead of `file_ids`: each with its own.",
        ),
        _ATTRIBUTES,
        _CHUNKING,
    ),
    advisory=(),
    neutral=(),
    required=(),
)


def read_batch_files(values: Mapping[str, Any]) -> tuple[NewStoreFile, ...]:
    """The files of a batch. Raises ParameterError."""
    if ("file_ids" in values) is ("files" in values):
        raise ParameterError(
            "Give either 'file_ids' or 'files'.", param="file_ids", code="invalid_parameter_combination"
        )
    if "files" in values:
        for name in ("attributes", "chunking_strategy"):
            if name in values:
                message = f"With 'files' there is no common '{name}'; give it with each file."
                raise ParameterError(message, param=name, code="invalid_parameter_combination")
        return tuple(values["files"])
    return files_alike(values)


def files_alike(values: Mapping[str, Any]) -> tuple[NewStoreFile, ...]:
    """`file_ids`, each once, with the same attributes and chunking."""
    chunking, attributes = values.get("chunking_strategy"), values.get("attributes")
    return tuple(
        NewStoreFile(id=one, attributes=attributes, chunking=chunking)
        for one in dict.fromkeys(values.get("file_ids", ()))
    )
