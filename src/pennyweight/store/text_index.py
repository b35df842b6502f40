"""The text index over chunks: FTS5 in SQLite, an index of inverted lists (GIN) in PostgreSQL.

It answers two questions: how many chunks of some stores have a word, and which. Everything else of the
ranking is computed from these stores alone (see `retrieval/words`), so that it is the same on both databases,
and nothing of one project shows in the order another one gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, select, text

from pennyweight.store.tables.vector_stores import chunks
from pennyweight.store.vector_store import FileState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, Connection

_MERGE_PAGES: Final = 256
_MATCHED: Final = "SELECT rowid FROM chunk_index WHERE chunk_index MATCH :pattern"
_MATCHED_POSTGRES: Final = """
    SELECT number FROM chunks WHERE store_number IN :stores
        AND array_to_tsvector(string_to_array(btrim(words), '  ')) @@ CAST(:pattern AS tsquery)
"""
_COMPLETED: Final = """
    SELECT chunks.number, chunks.file_number
    FROM chunks JOIN vector_store_files ON vector_store_files.number = chunks.file_number
    WHERE vector_store_files.state = :state AND chunks.store_number IN :stores AND chunks.number IN (
"""


class TextIndex:
    """Words are letters, digits and marks alone, as `NewChunk.words` has them."""

    def num_chunks_with(self, connection: Connection, stores: Sequence[int], word: str) -> int:
        """How many chunks have the word, those of files that are being read included."""
        matched, values = _matched(connection, stores, [word])
        if connection.dialect.name == "sqlite":
            return self._count(connection, str(values["pattern"]))
        counted = text(f"SELECT count(*) FROM ({matched}) AS matched").bindparams(_STORES)
        return int(connection.execute(counted, {**values, "stores": list(stores)}).scalar_one())

    def chunks_with(
        self, connection: Connection, stores: Sequence[int], words: Sequence[str], *, limit: int
    ) -> list[tuple[int, int]]:
        """Numbers of up to `limit` chunks with any of the words, each with its file's."""
        matched, values = _matched(connection, stores, words)
        wanted = text(f"{_COMPLETED}{matched}) LIMIT :limit").bindparams(_STORES)
        values |= {"state": FileState.COMPLETED, "stores": list(stores), "limit": limit}
        return [(row[0], row[1]) for row in connection.execute(wanted, values)]

    def num_indexed(self, connection: Connection) -> int | None:
        """How many chunks the index has; None where the database keeps it itself."""
        if connection.dialect.name != "sqlite":
            return None
        stores = connection.execute(select(chunks.c.store_number).distinct()).scalars().all()
        return self._count(connection, _of_stores(stores)) if stores else 0

    def _count(self, connection: Connection, pattern: str) -> int:
        counted = text("SELECT count(*) FROM chunk_index WHERE chunk_index MATCH :pattern")
        return int(connection.execute(counted, {"pattern": pattern}).scalar_one())

    def tidy(self, connection: Connection) -> bool:
        """Overwrite a portion of what was removed (SQLite's index keeps it until then); False: all is."""
        if connection.dialect.name != "sqlite":
            return False
        # https://sqlite.org/fts5.html#the_merge_command: a change of fewer than two rows is none.
        before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
        merge = f"INSERT INTO chunk_index(chunk_index, rank) VALUES ('merge', -{_MERGE_PAGES})"
        connection.exec_driver_sql(merge)
        after = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
        return bool(after - before >= 2)


_STORES: BindParameter[Any] = bindparam("stores", expanding=True)


def _matched(
    connection: Connection, stores: Sequence[int], words: Sequence[str]
) -> tuple[str, dict[str, object]]:
    """The query for numbers of chunks with any of the words, and its pattern."""
    if connection.dialect.name == "sqlite":
        any_word = " OR ".join(f'"{word}"' for word in words)
        return _MATCHED, {"pattern": f"{_of_stores(stores)} AND words : ({any_word})"}
    return _MATCHED_POSTGRES, {"pattern": " | ".join(f"'{word}'" for word in words)}


def _of_stores(stores: Sequence[int]) -> str:
    """Every chunk has the number of its store as a word."""
    own = " OR ".join(f'"{store}"' for store in stores)
    return f"store_number : ({own})"
