"""Files that were put into vector stores are read, cut, and stored with their vectors, beside a server.

Threads without an event loop, two of them, so that a small file does not wait for a large one. What they do
is in the database; they may be killed at any moment, and whoever comes next goes on behind the last portion.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from pennyweight.errors import (
    ConfigError,
    FetchError,
    ModelFileError,
    ModelNotFoundError,
    PennyweightError,
)
from pennyweight.retrieval.chunking import automatic, chunks_of
from pennyweight.retrieval.document import DocumentError
from pennyweight.retrieval.extraction import extract
from pennyweight.retrieval.metering import INGESTION, Client
from pennyweight.retrieval.words import words_of
from pennyweight.store.chunk_removal import Removal
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.ingestion_work import MAX_ATTEMPTS, IngestionWork, NewChunk, Portion
from pennyweight.store.text_index import TextIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pennyweight.retrieval.encoding import ChunkEncoder
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database
    from pennyweight.store.ingestion_work import FileLease, FileWork

NUM_THREADS: Final = 2
LEASE_S: Final = 30
PORTION_CHUNKS: Final = 32  # some hundred milliseconds of the encoder's time
_POLL_S: Final = 5.0  # for files that another process put in, or whose worker is gone
_AGAIN_S: Final = 5  # after what may pass: a full disk, an encoder with too much to do
_TIDY_S: Final = 600.0  # the index is written anew as a whole
_READING: Final = "1"  # of readers and chunking: chunks made by another version are made anew
_NO_ENCODER: Final = (ConfigError, FetchError, ModelFileError, ModelNotFoundError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What files are read with, and where their chunks go."""

    database: Database
    blobs: BlobStore
    encoder: ChunkEncoder


class _StoppingError(Exception):
    """The server ends: what is being read is left for the next start."""


class IngestionWorker:
    """`start` it once; `wake` it when there is news; `close` it before the encoder."""

    def __init__(self, library: Library, *, alone: bool) -> None:
        """`alone`: no other process has this database, so a lease of before means nothing."""
        self._library = library
        self._alone = alone
        self._work = IngestionWork()
        self._stopping = False
        self._news = threading.Condition()
        self._num_news = 0
        self._tidied_at = time.monotonic()
        self._is_untidy = True  # an earlier process may have left it so
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name="pennyweight-ingestion", daemon=True)
            for number in range(NUM_THREADS)
        ]

    def start(self) -> None:
        if self._alone:
            self._library.database.write_now(self._work.forget_leases, at="chunks.leases_forgotten")
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was put into a store, or left one. From any thread."""
        with self._news:
            self._num_news += 1
            self._news.notify_all()

    def close(self) -> None:
        """Stop after the portion under way. Harmless twice."""
        self._stopping = True
        self.wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, number: int) -> None:
        while not self._stopping:
            seen = self._num_news
            try:
                while self._read_one() and not self._stopping:
                    pass
                if number == 0:
                    self._remove()
            except PennyweightError as error:  # a full disk, a database that is away: it may pass
                _log.warning("files in vector stores wait: %s", error.message)
            except Exception:  # the edge of the thread
                _log.exception("reading files into vector stores was interrupted")
            with self._news:
                self._news.wait_for(lambda seen=seen: self._num_news != seen, _POLL_S)  # type: ignore[misc]

    def _remove(self) -> None:
        """Everything that left its store, then what the text index still keeps of it."""
        database, removal = self._library.database, Removal()
        now = int(time.time())
        if database.read_now(lambda c: removal.waits(c, now=now)):
            self._is_untidy = True
            while not self._stopping and database.write_now(
                lambda c: removal.remove(c, now=now), at="chunks.removed"
            ):
                pass
        if self._is_untidy and time.monotonic() - self._tidied_at >= _TIDY_S:
            while not self._stopping and database.write_now(TextIndex().tidy, at="chunks.tidied"):
                pass
            self._is_untidy, self._tidied_at = self._stopping, time.monotonic()

    def _read_one(self) -> bool:
        """Whether there was a file to read."""
        database, now = self._library.database, int(time.time())
        if not database.read_now(lambda c: self._work.waits(c, now=now)):
            return False
        work = database.write_now(
            lambda c: self._work.claim(c, now=now, lease_s=LEASE_S), at="chunks.claimed"
        )
        if work is None:
            return False
        try:
            FileReading(self._library, work, is_stopping=lambda: self._stopping).run()
        except LeaseLostError:
            _log.info("%s left its store while it was read", work.file.id)
        except _StoppingError:
            self._give_back(work, again_in_s=0)
        except PennyweightError as error:
            _log.warning("%s is read later: %s", work.file.id, error.message)
            self._give_back(work, again_in_s=_AGAIN_S)
        except Exception:  # its lease runs out, and it is tried again
            _log.exception("%s could not be read", work.file.id)
        return True

    def _give_back(self, work: FileWork, *, again_in_s: int) -> None:
        again_at = int(time.time()) + again_in_s
        try:
            self._library.database.write_now(
                lambda c: self._work.give_back(c, work.lease, again_at=again_at), at="chunks.given_back"
            )
        except (LeaseLostError, PennyweightError) as error:
            _log.info("%s keeps its lease until it runs out: %s", work.file.id, error)


class FileReading:
    """One file from its bytes to its last chunk. Raises LeaseLostError, and PennyweightError to try later."""

    def __init__(self, library: Library, work: FileWork, *, is_stopping: Callable[[], bool]) -> None:
        self._library = library
        self._file = work.file
        self._filename = work.filename
        self._blob = work.blob
        self._lease: FileLease = work.lease
        self._is_stopping = is_stopping
        self._work = IngestionWork()

    def run(self) -> None:
        """Raises LeaseLostError if the file left its store, or PennyweightError for what may pass."""
        if self._lease.attempt > MAX_ATTEMPTS:
            self._fail("server_error", f"Reading the file failed {MAX_ATTEMPTS} times.")
            return
        try:
            self._store_chunks(self._text())
        except DocumentError as error:
            self._fail(error.code, error.message)
            return
        except _NO_ENCODER as error:
            self._fail("server_error", f"The embedding model cannot be opened: {error.message}")
            return
        self._library.database.write_now(lambda c: self._work.complete(c, self._lease), at="chunks.completed")

    def _text(self) -> str:
        try:
            file = self._library.blobs.open(self._blob)
        except FileNotFoundError as error:  # deleted since it was claimed
            raise LeaseLostError(f"{self._file.id} is deleted.") from error
        with file:
            return extract(self._filename, file, keep_on=self._keep_on)

    def _store_chunks(self, text: str) -> None:
        encoder, file = self._library.encoder, self._file
        client = Client(project=file.project_id, endpoint=INGESTION)
        sizes = file.chunking or automatic(encoder.window)
        recipe = f"{_READING} {encoder.name} {sizes.max_tokens} {sizes.overlap_tokens}"
        done = self._library.database.write_now(
            lambda c: self._work.begin(c, self._lease, recipe=recipe, sizes=sizes), at="chunks.begun"
        )
        texts = chunks_of(text, sizes, encoder.num_tokens)
        for _ in islice(texts, done):  # made before the last crash
            self._keep_on()
        while portion := list(islice(texts, PORTION_CHUNKS)):
            self._keep_on()
            vectors = encoder.encode(portion, client)
            made = Portion(chunks=list(chunks_from(portion)), encoder=encoder.name, vectors=vectors)
            self._library.database.write_now(
                lambda c, made=made: self._work.add(c, file, self._lease, made),  # type: ignore[misc]
                at="chunks.stored",
            )

    def _keep_on(self) -> None:
        """Raises LeaseLostError, _StoppingError."""
        if self._is_stopping():
            raise _StoppingError
        now = int(time.time())
        if self._lease.expires_at - now < LEASE_S // 2:
            self._lease = self._library.database.write_now(
                lambda c: self._work.renew(c, self._lease, now=now, lease_s=LEASE_S), at="chunks.renewed"
            )

    def _fail(self, code: str, message: str) -> None:
        self._library.database.write_now(
            lambda c: self._work.fail(c, self._lease, code=code, message=message), at="chunks.failed"
        )


def chunks_from(texts: Iterable[str]) -> Iterator[NewChunk]:
    """Texts with their words."""
    for text in texts:
        words = list(words_of(text))
        yield NewChunk(text=text, words=" ".join(words), num_words=len(words))
