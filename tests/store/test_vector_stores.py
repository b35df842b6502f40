"""Vector stores in the database: whose they are, how files come and go, how work on them is shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from pennyweight.errors import NotFoundError
from pennyweight.store.blobs import BlobStore
from pennyweight.store.chunk_removal import Removal
from pennyweight.store.chunk_search import ChunkSearch
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.identifiers import new_id
from pennyweight.store.ingestion_work import IngestionWork, NewChunk, Portion
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import Projects
from pennyweight.store.tables.vector_stores import (
    chunk_vectors,
    chunks,
    vector_store_files,
    vector_stores,
)
from pennyweight.store.text_index import TextIndex
from pennyweight.store.vector_store import FileCounts, FileState, NewStoreFile, NewVectorStore, StaticChunking
from pennyweight.store.vector_store_files import VectorStoreBatches, VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.store.database import Database
    from pennyweight.store.vector_store import VectorStore

NOW = 1_700_000_000
DAY = 86_400
WORK = IngestionWork()
SIZES = StaticChunking(max_tokens=100, overlap_tokens=10)


def new_store(connection: Connection, project: str = "default", **values: Any) -> VectorStore:
    new = NewVectorStore(id=new_id("vs_"), project_id=project, created_at=NOW, **values)
    return VectorStores().add(connection, new)


def upload(database: Database, folder: Path, name: str = "a.txt", project: str = "default") -> str:
    blobs = BlobStore(folder, database)
    with blobs.receive(project, max_bytes=99) as incoming:
        incoming.write(name.encode())
        blob = incoming.finish()
        file = StoredFile(
            id=new_id("file-"),
            project_id=project,
            filename=name,
            purpose="assistants",
            num_bytes=blob.num_bytes,
            created_at=NOW,
        )
        database.write_now(lambda c: Files().add(c, file, blob))
    return file.id


def chunk(*words: str) -> NewChunk:
    return NewChunk(text=" ".join(words), words=" ".join(words), num_words=len(words))


def portion(*texts: str) -> Portion:
    return Portion(chunks=[chunk(*text.split()) for text in texts], encoder="e", vectors=b"v" * len(texts))


def read_file(connection: Connection, *portions: Portion) -> int:
    """Claim the next file and store what was read of it; its number."""
    work = WORK.claim(connection, now=NOW, lease_s=30)
    assert work is not None
    WORK.begin(connection, work.lease, recipe="r", sizes=SIZES)
    for one in portions:
        WORK.add(connection, work.file, work.lease, one)
    WORK.complete(connection, work.lease)
    return work.file.number


def count(connection: Connection, table: Any) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def remove_all(database: Database, now: int = NOW) -> None:
    while database.write_now(lambda c: Removal().remove(c, now=now)):
        pass
    assert not database.read_now(lambda c: Removal().waits(c, now=now))


@pytest.fixture
def store(database: Database) -> VectorStore:
    return database.write_now(lambda c: new_store(c, name="s", metadata={"a": "ü"}))


def test_what_was_made_is_told(database: Database, store: VectorStore) -> None:
    assert database.read_now(lambda c: VectorStores().get(c, "default", store.id)) == store
    assert (store.name, store.metadata, store.counts, store.usage_bytes) == ("s", {"a": "ü"}, FileCounts(), 0)
    more = [database.write_now(lambda c: new_store(c)).id for _ in range(4)]
    ids = sorted([store.id, *more])
    page = database.read_now(lambda c: VectorStores().page(c, "default", Cursor(limit=2, after=ids[0])))
    assert ([item.id for item in page.items], page.has_more) == (ids[1:3], True)
    page = database.read_now(lambda c: VectorStores().page(c, "default", Cursor(limit=2, before=ids[3])))
    assert ([item.id for item in page.items], page.has_more) == (ids[1:3], True)
    page = database.read_now(lambda c: VectorStores().page(c, "default", Cursor(limit=2, before=ids[1])))
    assert ([item.id for item in page.items], page.has_more) == (ids[:1], False)


def test_another_project_finds_nothing(database: Database, store: VectorStore, tmp_path: Path) -> None:
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW)).id
    calls: list[Any] = [
        lambda c: VectorStores().get(c, other, store.id),
        lambda c: VectorStores().update(c, other, store.id, {"name": "x"}, now=NOW),
        lambda c: VectorStores().delete(c, other, store.id),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="No vector store found with id"):
            database.write_now(call)
    assert database.read_now(lambda c: VectorStores().page(c, other, Cursor())).items == []
    theirs = upload(database, tmp_path, project=other)
    with pytest.raises(NotFoundError, match="No such File object"):
        database.write_now(lambda c: VectorStoreFiles().add(c, store, [NewStoreFile(id=theirs)], now=NOW))


def test_a_file_from_its_arrival_to_its_end(database: Database, store: VectorStore, tmp_path: Path) -> None:
    files, file_id = VectorStoreFiles(), upload(database, tmp_path)
    new = NewStoreFile(id=file_id, attributes={"year": 2024.0, "new": True})
    database.write_now(lambda c: files.add(c, store, [new], now=NOW))
    before = database.read_now(lambda c: files.get(c, store, file_id))
    assert (before.state, before.attributes) == (FileState.IN_PROGRESS, {"year": 2024.0, "new": True})
    database.write_now(lambda c: read_file(c, portion("one two", "two three"), portion("four")))
    file = database.read_now(lambda c: files.get(c, store, file_id))
    assert (file.state, file.num_chunks, file.usage_bytes) == (FileState.COMPLETED, 3, 3 + 7 + 9 + 4)
    assert database.read_now(lambda c: files.texts(c, file)) == ["one two", "two three", "four"]
    seen = database.read_now(lambda c: VectorStores().get(c, "default", store.id))
    assert (seen.counts, seen.usage_bytes) == (FileCounts(completed=1), 23)
    database.write_now(lambda c: files.remove(c, store, file_id))
    with pytest.raises(NotFoundError, match="No file found with id"):
        database.read_now(lambda c: files.get(c, store, file_id))
    remove_all(database)
    for table in (chunks, chunk_vectors, vector_store_files):
        assert database.read_now(lambda c, table=table: count(c, table)) == 0  # type: ignore[misc]
    assert database.read_now(lambda c: TextIndex().num_indexed(c)) in (0, None)


def test_words_are_found_in_their_own_stores(database: Database, store: VectorStore, tmp_path: Path) -> None:
    other = database.write_now(new_store)
    file_id, index = upload(database, tmp_path), TextIndex()
    for one, texts in ((store, ("red fish", "blue fish 7")), (other, ("red हिन्दी", "17 o'clock"))):
        new = [NewStoreFile(id=file_id)]
        database.write_now(lambda c, one=one, new=new: VectorStoreFiles().add(c, one, new, now=NOW))  # type: ignore[misc]
        database.write_now(lambda c, texts=texts: read_file(c, portion(*texts)))  # type: ignore[misc]

    def num(stores: list[VectorStore], word: str) -> int:
        numbers = [one.number for one in stores]
        return database.read_now(lambda c: index.nums_with(c, numbers, [word]))[word]

    assert [num([store], word) for word in ("red", "fish", "blue", "हिन्दी", "7")] == [1, 2, 1, 0, 1]
    assert num([store, other], "red") == 2
    assert num([other], "हिन्दी") == 1
    found = database.read_now(lambda c: index.chunks_with(c, [store.number], ["blue", "red"], limit=9))
    assert len(found) == 2
    rows = database.read_now(lambda c: ChunkSearch().by_number(c, [number for number, _ in found]))
    assert {row.text for row in rows} == {"red fish", "blue fish 7"}
    size = database.read_now(lambda c: ChunkSearch().size(c, [store.number]))
    assert (size.num_chunks, size.num_words) == (2, 5)
    runs = database.read_now(lambda c: list(ChunkSearch().vectors(c, [store.number], encoder="e")))
    assert [(run.first, run.num_vectors) for run in runs] == [(0, 2)]
    assert not database.read_now(lambda c: list(ChunkSearch().vectors(c, [store.number], encoder="other")))


def test_a_file_that_is_being_read_is_not_found(
    database: Database, store: VectorStore, tmp_path: Path
) -> None:
    file_id = upload(database, tmp_path)
    database.write_now(lambda c: VectorStoreFiles().add(c, store, [NewStoreFile(id=file_id)], now=NOW))
    work = database.write_now(lambda c: WORK.claim(c, now=NOW, lease_s=30))
    assert work is not None
    assert work.filename == "a.txt"
    database.write_now(lambda c: WORK.begin(c, work.lease, recipe="r", sizes=SIZES))
    database.write_now(lambda c: WORK.add(c, work.file, work.lease, portion("red")))
    found = database.read_now(lambda c: TextIndex().chunks_with(c, [store.number], ["red"], limit=9))
    assert found == []
    assert not database.read_now(lambda c: list(ChunkSearch().vectors(c, [store.number], encoder="e")))


def test_whoever_comes_after_a_crash_goes_on(database: Database, store: VectorStore, tmp_path: Path) -> None:
    file_id = upload(database, tmp_path)
    database.write_now(lambda c: VectorStoreFiles().add(c, store, [NewStoreFile(id=file_id)], now=NOW))
    first = database.write_now(lambda c: WORK.claim(c, now=NOW, lease_s=30))
    assert first is not None
    assert database.write_now(lambda c: WORK.begin(c, first.lease, recipe="r", sizes=SIZES)) == 0
    database.write_now(lambda c: WORK.add(c, first.file, first.lease, portion("a", "b")))
    assert not database.read_now(lambda c: WORK.waits(c, now=NOW + 29))
    second = database.write_now(lambda c: WORK.claim(c, now=NOW + 30, lease_s=30))
    assert second is not None
    assert second.lease.attempt == 2
    assert database.write_now(lambda c: WORK.begin(c, second.lease, recipe="r", sizes=SIZES)) == 2
    with pytest.raises(LeaseLostError):
        database.write_now(lambda c: WORK.add(c, first.file, first.lease, portion("late")))
    database.write_now(lambda c: WORK.give_back(c, second.lease, again_at=NOW + 50))
    third = database.write_now(lambda c: WORK.claim(c, now=NOW + 50, lease_s=30))
    assert third is not None
    assert third.lease.attempt == 2, "to give back is no attempt"
    assert database.write_now(lambda c: WORK.begin(c, third.lease, recipe="another", sizes=SIZES)) == 0
    assert database.read_now(lambda c: count(c, chunks)) == 0


def test_a_batch_and_its_end(database: Database, store: VectorStore, tmp_path: Path) -> None:
    files, batches = VectorStoreFiles(), VectorStoreBatches()
    ids = [upload(database, tmp_path, f"{number}.txt") for number in range(3)]

    def make(connection: Connection) -> None:
        batches.add(connection, store, "vsfb_1", now=NOW)
        files.add(connection, store, [NewStoreFile(id=i) for i in ids], now=NOW, batch_id="vsfb_1")

    database.write_now(make)
    database.write_now(lambda c: read_file(c, portion("x")))
    half_read = database.write_now(lambda c: WORK.claim(c, now=NOW, lease_s=30))
    assert half_read is not None
    database.write_now(lambda c: WORK.add(c, half_read.file, half_read.lease, portion("y")))
    batch = database.write_now(lambda c: batches.cancel(c, store, "vsfb_1"))
    assert (batch.cancelled, batch.counts) == (True, FileCounts(completed=1, cancelled=2))
    with pytest.raises(LeaseLostError):
        database.write_now(lambda c: WORK.complete(c, half_read.lease))
    remove_all(database)
    assert database.read_now(lambda c: count(c, chunks)) == 1
    page = database.read_now(
        lambda c: files.page(c, store, Cursor(), batch_id="vsfb_1", state=FileState.CANCELLED)
    )
    assert len(page.items) == 2
    with pytest.raises(NotFoundError, match="No file batch found"):
        database.read_now(lambda c: batches.get(c, store, "vsfb_2"))


def test_with_a_deleted_file_all_its_chunks_go(
    database: Database, store: VectorStore, tmp_path: Path
) -> None:
    file_id = upload(database, tmp_path)
    database.write_now(lambda c: VectorStoreFiles().add(c, store, [NewStoreFile(id=file_id)], now=NOW))
    database.write_now(lambda c: read_file(c, portion("secret")))
    database.write_now(lambda c: Files().delete(c, "default", file_id, now=NOW))
    seen = database.read_now(lambda c: VectorStores().get(c, "default", store.id))
    assert seen.counts.total == 0
    assert database.read_now(lambda c: TextIndex().chunks_with(c, [store.number], ["secret"], limit=9)) == []
    remove_all(database)
    assert database.read_now(lambda c: count(c, chunks)) == 0


def test_nothing_of_a_deleted_text_stays_in_the_index(
    database: Database, store: VectorStore, tmp_path: Path
) -> None:
    keep, drop = upload(database, tmp_path, "keep"), upload(database, tmp_path, "drop")
    for file_id, words in ((keep, "ordinary words"), (drop, "zebrafinch")):
        new = [NewStoreFile(id=file_id)]
        database.write_now(lambda c, new=new: VectorStoreFiles().add(c, store, new, now=NOW))  # type: ignore[misc]
        database.write_now(lambda c, words=words: read_file(c, portion(words)))  # type: ignore[misc]
    database.write_now(lambda c: VectorStoreFiles().remove(c, store, drop))
    remove_all(database)
    while database.write_now(lambda c: TextIndex().tidy(c)):
        pass
    if database.url.get_backend_name() == "sqlite":
        blocks = database.read_now(
            lambda c: c.exec_driver_sql("SELECT block FROM chunk_index_data").scalars().all()
        )
        assert any(b"rdinary" in block for block in blocks)
        assert not any(b"ebrafinch" in block for block in blocks)


def test_a_store_expires_and_a_deleted_one_goes(
    database: Database, store: VectorStore, tmp_path: Path
) -> None:
    stores, file_id = VectorStores(), upload(database, tmp_path)
    short = database.write_now(lambda c: new_store(c, expires_after_days=2))
    for one in (store, short):
        new = [NewStoreFile(id=file_id)]
        database.write_now(lambda c, one=one, new=new: VectorStoreFiles().add(c, one, new, now=NOW))  # type: ignore[misc]
        database.write_now(lambda c: read_file(c, portion("x")))
    database.write_now(lambda c: stores.touch(c, [short], now=NOW + DAY))
    assert not database.read_now(lambda c: Removal().waits(c, now=NOW + 3 * DAY - 1))
    remove_all(database, NOW + 3 * DAY)
    gone = database.read_now(lambda c: stores.get(c, "default", short.id))
    assert (gone.has_expired(NOW + 3 * DAY), gone.counts.total) == (True, 0)
    assert database.read_now(lambda c: count(c, chunks)) == 1
    changed = {"expires_after_days": None, "name": "n"}
    kept = database.write_now(lambda c: stores.update(c, "default", short.id, changed, now=NOW))
    assert (kept.expires_at, kept.name) == (None, "n")
    for one in (store, short):
        database.write_now(lambda c, one=one: stores.delete(c, "default", one.id))  # type: ignore[misc]
        with pytest.raises(NotFoundError):
            database.read_now(lambda c, one=one: stores.get(c, "default", one.id))  # type: ignore[misc]
    remove_all(database)
    assert database.read_now(lambda c: count(c, vector_stores)) == 0
