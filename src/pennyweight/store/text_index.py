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
    from collections.abc import Mapping, Sequence

    from sqlalchemy import BindParameter, Connection

_MERGE_PAGES: Final = 256
_MATCHED: Final = "SELECT rowid FROM chunk_index WHERE chunk_index MATCH :pattern"
_MATCHED_POSTGRES: Final = """
    SELECT number FROM chunks WHERE store_number IN :stores
        AND array_to_tsvector(string_to_array(words, ' ')) @@ CAST(:pattern AS tsquery)
"""
_COMPLETED: Final = """
    SELECT chunks.number, chunks.file_number
    FROM chunks JOIN vector_store_files ON vector_store_files.number = chunks.file_number
    WHERE vector_store_files.state = :state AND chunks.store_number IN :stores AND chunks.number IN (
"""


class TextIndex:
    """Words are letters and digits alone, as `NewChunk.words` has them."""

    def nums_with(
        self, connection: Connection, stores: Sequence[int], words: Sequence[str]
    ) -> dict[str, int]:
        """How many chunks have each of the words, those of files that are being read included."""
        counts, values = [], {}
        for index, word in enumerate(words):
            values[f"pattern{index}"] = _pattern(connection, stores, [word])
            matched = _matched(connection).replace(":pattern", f":pattern{index}")
            counts.append(f"SELECT {index}, count(*) FROM ({matched}) AS matched")
        if not counts:
            return {}
        rows = self._execute(connection, " UNION ALL ".join(counts), stores, values)
        return {words[row[0]]: int(row[1]) for row in rows}

    def chunks_with(
        self, connection: Connection, stores: Sequence[int], words: Sequence[str], *, limit: int
    ) -> list[tuple[int, int]]:
        """Numbers of up to `limit` chunks with any of the words, each with its file's."""
        values = {"pattern": _pattern(connection, stores, words), "state": FileState.COMPLETED}
        wanted = f"{_COMPLETED}{_matched(connection)}) LIMIT {limit:d}"
        return [(row[0], row[1]) for row in self._execute(connection, wanted, stores, values)]

    def _execute(
        self, connection: Connection, statement: str, stores: Sequence[int], values: Mapping[str, object]
    ) -> Sequence[Any]:
        if ":stores" not in statement:
            return connection.execute(text(statement), values).all()
        bound = text(statement).bindparams(_STORES)
        return connection.execute(bound, {**values, "stores": list(stores)}).all()

    def num_indexed(self, connection: Connection) -> int | None:
        """How many chunks the index has; None where the database keeps it itself."""
        if connection.dialect.name != "sqlite":
            return None
        stores = connection.execute(select(chunks.c.store_number).distinct()).scalars().all()
        counted = text(f"SELECT count(*) FROM ({_MATCHED}) AS matched")
        pattern = _of_stores(stores)
        return connection.execute(counted, {"pattern": pattern}).scalar_one() if stores else 0

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


def _matched(connection: Connection) -> str:
    return _MATCHED if connection.dialect.name == "sqlite" else _MATCHED_POSTGRES


def _pattern(connection: Connection, stores: Sequence[int], words: Sequence[str]) -> str:
    """Any of the words, as the database's text search writes it."""
    if connection.dialect.name == "sqlite":
        any_word = " OR ".join(f'"{word}"' for word in words)
        return f"{_of_stores(stores)} AND words : ({any_word})"
    return " | ".join(f"'{word}'" for word in words)


def _of_stores(stores: Sequence[int]) -> str:
    """Every chunk has the number of its store as a word."""
    own = " OR ".join(f'"{store}"' for store in stores)
    return f"store_number : ({own})"
