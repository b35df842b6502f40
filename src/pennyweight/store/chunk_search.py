"""What a search reads: sizes of stores, vectors, chunks, their files. Files being read are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from pennyweight.store.tables.files import files as uploaded
from pennyweight.store.tables.vector_stores import chunk_vectors, chunks, vector_store_files
from pennyweight.store.vector_store import FileState
from pennyweight.store.vector_store_files import store_file_columns, store_file_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from pennyweight.store.vector_store import StoreFile

_VARIABLES = 500  # in one statement


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSize:
    """What may be found in some stores."""

    num_chunks: int
    num_words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundChunk:
    """A chunk and where it is from."""

    number: int
    file_number: int
    place: int
    text: str
    words: str
    num_words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRun:
    """Vectors of chunks that follow one another: Q8_0 blocks."""

    file_number: int
    first: int
    num_vectors: int
    vectors: bytes


class ChunkSearch:
    """`stores` are numbers of stores that the asker may see."""

    def size(self, connection: Connection, stores: Sequence[int]) -> CollectionSize:
        files = vector_store_files.c
        sums = [func.coalesce(func.sum(column), 0) for column in (files.num_chunks, files.num_words)]
        row = connection.execute(select(*sums).where(_searchable(stores))).one()
        return CollectionSize(num_chunks=int(row[0]), num_words=int(row[1]))

    def files(self, connection: Connection, stores: Sequence[int]) -> list[StoreFile]:
        """All files that may be found."""
        rows = connection.execute(store_file_columns().where(_searchable(stores)))
        return [store_file_of(row) for row in rows]

    def vectors(self, connection: Connection, stores: Sequence[int], *, encoder: str) -> Iterator[VectorRun]:
        """All vectors that `encoder` made."""
        own = chunk_vectors.c
        wanted = (
            select(own.file_number, own.first, own.num_vectors, own.vectors)
            .join(vector_store_files, vector_store_files.c.number == own.file_number)
            .where(_searchable(stores), own.store_number.in_(stores), own.encoder == encoder)
        )
        for row in connection.execute(wanted, execution_options={"yield_per": 64}):
            yield VectorRun(**row._mapping)

    def by_number(self, connection: Connection, numbers: Collection[int]) -> list[FoundChunk]:
        """Chunks by their numbers, in no order."""
        wanted = sorted(numbers)
        found: list[FoundChunk] = []
        for start in range(0, len(wanted), _VARIABLES):
            some = chunks.c.number.in_(wanted[start : start + _VARIABLES])
            found += [FoundChunk(**row._mapping) for row in connection.execute(_chunk().where(some))]
        return found

    def by_place(self, connection: Connection, places: Collection[tuple[int, int]]) -> list[FoundChunk]:
        """Chunks by file number and place, in no order."""
        of_file: dict[int, list[int]] = {}
        for file_number, place in sorted(places):
            of_file.setdefault(file_number, []).append(place)
        found = []
        for file_number, own in of_file.items():
            some = _chunk().where(chunks.c.file_number == file_number, chunks.c.place.in_(own))
            found += [FoundChunk(**row._mapping) for row in connection.execute(some)]
        return found

    def sources(self, connection: Connection, numbers: Collection[int]) -> dict[int, tuple[StoreFile, str]]:
        """Files in stores by their numbers, each with its name."""
        own = store_file_columns().where(vector_store_files.c.number.in_(list(numbers)))
        files = [store_file_of(row) for row in connection.execute(own)]
        named = select(uploaded.c.id, uploaded.c.filename).where(
            uploaded.c.id.in_([file.id for file in files])
        )
        names = {row.id: row.filename for row in connection.execute(named)}
        return {file.number: (file, names[file.id]) for file in files if file.id in names}


def _searchable(stores: Sequence[int]) -> ColumnElement[bool]:
    files = vector_store_files.c
    return files.store_number.in_(stores) & (files.state == FileState.COMPLETED)


def _chunk() -> Select[Any]:
    return select(*(chunks.c[name] for name in FoundChunk.__slots__))
