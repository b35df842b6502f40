"""`Encoder`: a model that turns texts into vectors, opened for Python programs. A composition root.

`EncoderSlot` is an encoder that is opened when somebody first needs it, as a server and `Engine.embed` do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

from pennyweight.engine.core_turns import CoreTurns
from pennyweight.errors import ConfigError, EngineError, FetchError, InvalidRequestError, ModelNotFoundError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from pennyweight.answers.embedding import Embedder
    from pennyweight.answers.embedding_queue import EmbeddingStats

log = logging.getLogger(__name__)

WARM_UP_WORDS = 600  # more than any batch holds

Texts = str | Sequence[str] | Sequence[Sequence[int]] | Sequence[int]
"""One text, or several; a text may be given as the encoder's own token ids."""

Progress = Callable[[int, int], None]
"""Called with bytes done and in total of a download."""


class Encoder:
    """One encoder, ready for any number of threads. Use it as a context manager, or call `close`."""

    def __init__(self, *, name: str, path: Path, embedder: Embedder) -> None:
        """Programs use `Encoder.open`."""
        self.name = name
        self.path = path
        self.embedder = embedder

    @classmethod
    def open(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        cores: CoreTurns | None = None,
    ) -> Encoder:
        """Open an encoder by name, a GGUF file or a folder with safetensors; None: the default one.

        A catalog model is fetched if absent; `progress` then gets bytes done and in total. `cores`: those of
        an engine in the same process. Raises ModelNotFoundError, ModelFileError, FetchError, ConfigError.
        """
        from pennyweight.answers.embedding import Embedder
        from pennyweight.models.bert_load import load_encoder
        from pennyweight.native import _native
        from pennyweight.text.encoder_tokenizer import EncoderTokenizer

        path = find_encoder(name_or_path, progress)
        loaded = load_encoder(path)
        tokenizer = EncoderTokenizer(loaded.tokenizer)
        if tokenizer.vocab_size > loaded.spec.vocab_size:
            raise ConfigError(
                f"{loaded.name}: the tokenizer has {tokenizer.vocab_size} tokens, "
                f"the model {loaded.spec.vocab_size}"
            )
        try:
            encoder = _native.Encoder(loaded.model, num_threads=threads or 0)
        except (MemoryError, RuntimeError, ValueError) as error:
            raise ConfigError(f"the encoder could not start: {error}; lower threads") from error
        embedder = Embedder(
            encoder,
            tokenizer,
            window=loaded.spec.window,
            width=loaded.spec.d_model,
            cores=cores or CoreTurns(),
        )
        return cls(name=loaded.name, path=path, embedder=embedder)

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return self.embedder.width

    def embed(self, texts: Texts, *, dimensions: int | None = None) -> list[list[float]]:
        """One vector of length 1 per text. `dimensions` keeps only so many of its first numbers, rescaled.

        A text longer than the encoder reads is split and its windows averaged. Raises InvalidRequestError.
        """
        from pennyweight.answers.embedding_response import floats_of
        from pennyweight.answers.embedding_schema import Inputs

        embeddings = self.embedder.embed(Inputs().read(texts, "input"), dimensions=dimensions)
        return [floats_of(vector) for vector in embeddings.vectors]

    def close(self) -> None:
        """End the encoder's threads; harmless twice."""
        self.embedder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EncoderSlot:
    """At most one encoder, opened on its own thread by whoever asks first; after a failure, by the next.

    One that is not `offered` is never opened: nobody counted its memory under a ceiling.
    """

    def __init__(
        self,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        cores: CoreTurns | None = None,
        offered: bool = True,
    ) -> None:
        self.cores = CoreTurns() if cores is None else cores
        self.offered = offered
        self._name_or_path = name_or_path
        self._threads = threads
        self._lock = threading.Lock()
        self._opening: Future[Encoder] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """What the encoder is called, known before it is opened."""
        from pennyweight.models.catalog import CATALOG, DEFAULT_ENCODER
        from pennyweight.models.local import model_name, resolve

        name = str(self._name_or_path or DEFAULT_ENCODER)
        return name if name in CATALOG else model_name(resolve(name))

    @property
    def created(self) -> int:
        """When the encoder's file was written, in seconds since 1970; 0 before it is there."""
        from pennyweight.models.local import resolve

        try:
            return int(resolve(self._name_or_path or self.name).stat().st_mtime)
        except (ModelNotFoundError, OSError):
            return 0

    def open(self, *, progress: Progress | None = None) -> Encoder:
        """The encoder, now: waits while it is fetched and loaded. Raises what `Encoder.open` does."""
        return self._started(progress).result()

    def warm_up(self, *, progress: Progress | None = None) -> None:
        """Open the encoder and run its largest batch once: from here on it takes no more memory."""
        encoder = self.open(progress=progress)
        encoder.embed("warm " * WARM_UP_WORDS)

    def check_offered(self) -> None:
        """Raise InvalidRequestError, naming the remedy, if there is no encoder here."""
        if not self.offered:
            raise InvalidRequestError(
                "Under a ceiling on memory there are no embeddings unless their model is named, so that its "
                "memory is counted too; start with --embedding-model (embedding_model in Python).",
                param="model",
            )

    def stats(self) -> EmbeddingStats:
        """What was embedded so far."""
        from pennyweight.answers.embedding_queue import EmbeddingStats

        with self._lock:
            opening = self._opening
        if opening is None or not opening.done() or opening.exception() is not None:
            return EmbeddingStats()
        return opening.result().embedder.stats()

    def embedder(self) -> Future[Embedder]:
        """The encoder's embedder, soon. Cancelling the future has no effect on others that wait."""
        mine: Future[Embedder] = Future()
        self._started(None).add_done_callback(lambda opening: _pass_on(opening, mine))
        return mine

    def close(self) -> None:
        """Close the encoder if there is one; harmless twice."""
        with self._lock:
            self._closed = True
            opening = self._opening
        if opening is not None and opening.done() and opening.exception() is None:
            opening.result().close()

    def _started(self, progress: Progress | None) -> Future[Encoder]:
        self.check_offered()
        with self._lock:
            if self._closed:
                raise EngineError("this encoder is closed; open another one")
            if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
                self._opening = Future()
                threading.Thread(
                    target=self._open,
                    args=(self._opening, progress),
                    name="pennyweight-encoder-open",
                    daemon=True,
                ).start()
            return self._opening

    def _open(self, opening: Future[Encoder], progress: Progress | None) -> None:
        try:
            encoder = Encoder.open(
                self._name_or_path, threads=self._threads, progress=progress, cores=self.cores
            )
        except Exception as error:  # the edge of a thread: whoever waits raises it
            opening.set_exception(error)
            return
        opening.set_result(encoder)
        with self._lock:
            closed = self._closed
        if closed:  # meanwhile; `close` itself may have come too early to see it
            encoder.close()


def _pass_on(opening: Future[Encoder], mine: Future[Embedder]) -> None:
    if not mine.set_running_or_notify_cancel():
        return  # whoever asked is gone
    error = opening.exception()
    if error is not None:
        mine.set_exception(error)
    else:
        mine.set_result(opening.result().embedder)


def check_encoder(name_or_path: str | os.PathLike[str]) -> None:
    """Raise ModelNotFoundError or ConfigError for what cannot be an encoder's name, without fetching one."""
    _installed(name_or_path)


def find_encoder(name_or_path: str | os.PathLike[str] | None, progress: Progress | None = None) -> Path:
    """The encoder's file; a catalog model whose licence asks nothing is fetched if it is not there.

    Without `progress` the log says so: a caller may wait a while for it.
    """
    from pennyweight.models.catalog import CATALOG, DEFAULT_ENCODER
    from pennyweight.models.fetch import pull

    name = DEFAULT_ENCODER if name_or_path is None else name_or_path
    path = _installed(name)
    if path is not None:
        return path
    entry = CATALOG[str(name)]
    if progress is None:
        log.warning("%s is not here yet: downloading %.0f MB", entry.name, entry.size / 1e6)
    try:
        path = pull(entry, progress=progress)
    except FetchError as error:
        log.warning("%s", error.message)
        raise
    if progress is None:
        log.warning("%s is at %s", entry.name, path)
    return path


def _installed(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The encoder's file; None if it is to be fetched from the catalog, and may be."""
    from pennyweight.models.catalog import CATALOG, DEFAULT_ENCODER
    from pennyweight.models.local import resolve

    entry = CATALOG.get(str(name_or_path))
    if entry is not None and entry.kind != "encoder":
        raise ConfigError(
            f"{name_or_path} answers in text; for embeddings choose an encoder such as {DEFAULT_ENCODER}"
        )
    try:
        return resolve(name_or_path)
    except ModelNotFoundError:
        if entry is None or entry.licence.terms is not None:
            raise
        return None
