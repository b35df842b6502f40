"""`Engine`: a model opened for Python programs, which command line and server use too.

Its synchronous methods run the one asynchronous way to answer on a private event loop.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pennyweight.answers.chat_messages import read_messages
from pennyweight.answers.conversation import Completion, Conversation, Source
from pennyweight.answers.events import Finished, TextDelta
from pennyweight.answers.fields import unknown
from pennyweight.answers.principal import LOCAL
from pennyweight.answers.sampling_fields import options_from_keywords
from pennyweight.core import SamplingParams
from pennyweight.encoder import EncoderSlot, check_encoder
from pennyweight.engine.core_turns import CoreTurns
from pennyweight.errors import ConfigError, EngineError, InvalidRequestError, ModelNotFoundError
from pennyweight.kv_format import check_kv_format

if TYPE_CHECKING:
    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.events import AnswerEvent, EndReason
    from pennyweight.answers.options import Options
    from pennyweight.answers.tuned import TunedModel
    from pennyweight.core import Timings, Usage
    from pennyweight.encoder import Texts
    from pennyweight.engine.adapters import AdapterPool
    from pennyweight.engine.loop import EngineStats, StepLoop
    from pennyweight.memory import MemoryPlan
    from pennyweight.models.load import LoadedModel

Messages = str | Sequence[Mapping[str, object]]
"""OpenAI's message objects; a string stands for one message of the user."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("download", "load" or "encoder", its download), bytes done and in total.

With "memory", before the loading, they are the bytes that the model needs and those that are available.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. `finish_reason` is "stop", or "length" if a limit of tokens cut it off."""

    text: str
    finish_reason: EndReason
    usage: Usage
    timings: Timings


class Engine:
    """One model, ready to answer from any number of threads. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        *,
        model: LoadedModel,
        loop: StepLoop,
        answerer: Answerer,
        adapters: AdapterPool,
        context: int,
        encoder: EncoderSlot,
    ) -> None:
        """Programs use `Engine.open`."""
        from pennyweight.answers.blocking import BlockingLoop
        from pennyweight.answers.tuned import GivenAdapters

        self.model = model
        self.context = context
        self.answerer = answerer
        self.adapters = adapters
        self.encoder = encoder
        self._given = GivenAdapters()
        self._loop = loop
        self._blocking = BlockingLoop()
        self._closed = False
        self._pid = os.getpid()

    @classmethod
    def open(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        context: int | None = None,
        parallel: int | None = None,
        memory: int | str | None = None,
        threads: int | None = None,
        weights: str | None = None,
        kv_cache_dtype: str | None = None,
        batch_share: int = 10,
        embedding_model: str | os.PathLike[str] | None = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
        prefix_cache_dir: str | os.PathLike[str] | None = None,
        prefix_cache_size: int | str | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """Open a model by name, or a GGUF file or a folder by path; None: the default one, fetched if absent.

        `context` is in tokens, `parallel` in whole contexts held at once; by default both suit the memory
        there is. `memory` (bytes, or text such as "1.5GiB") is a ceiling on all that this process takes.
        `weights` ("q8_0", "q4_0", "q4_1"): a model of floats is rounded to that as it is read. With
        `kv_cache_dtype` "int4" (None: "int8") keys and values take half the memory, less exactly.
        `batch_share` percent of the time are for batches although people wait. `embedding_model` is for
        `embed`; None: the default one, opened (and fetched) when it is first needed, which a stated `memory`
        rules out. `adapters` are names for folders that PEFT saved: `chat` and its like answer with one if
        it is their `model`. Prefixes of prompts are kept in the folder `prefix_cache_dir`, up to
        `prefix_cache_size` (2 GiB), and read back instead of computed again. Raises ModelNotFoundError,
        ModelFileError, FetchError, ConfigError.
        """
        _check_counts(context=context, parallel=parallel, threads=threads)
        from pennyweight.composition import compose
        from pennyweight.models.rounded import check_weight_type
        from pennyweight.prefix_cache import prefix_cache

        rounded, kv_format = check_weight_type(weights), check_kv_format(kv_cache_dtype)
        spilled = prefix_cache(prefix_cache_dir, prefix_cache_size)
        plan, share = _memory_plan(memory, threads), batch_share / 100
        encoder = _encoder(embedding_model, threads=threads, share=share, offered=memory is None)
        try:
            path = find_model(name_or_path, progress)
            if embedding_model is not None:  # before `plan` measures what is left
                encoder.warm_up(progress=stage_progress(progress, "encoder"))
            engine = compose(
                path,
                plan,
                encoder,
                context=context,
                parallel=parallel,
                threads=threads,
                weights=rounded,
                kv_format=kv_format,
                batch_share=share,
                spilled=spilled,
                progress=progress,
            )
        except BaseException:
            encoder.close()
            raise
        return engine._with_adapters(adapters or {})

    @property
    def name(self) -> str:
        """The catalog's name of the model, or its file's."""
        return self.model.name

    @property
    def created(self) -> int:
        """When the model's file was written, in seconds since 1970."""
        return int(self.model.path.stat().st_mtime)

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints and seeds give equal text: a digest of weights, KV format and this version."""
        return self.fingerprint_with(None)

    def fingerprint_with(self, adapter: str | None) -> str:
        """That of the model with an adapter; None: without."""
        from pennyweight import __version__

        kept = self.model.spec.kv_format
        parts = (self.model.content_hash, __version__, adapter, kept if kept != "int8" else None)
        computed = " ".join(part for part in parts if part)
        return f"fp_{hashlib.sha256(computed.encode()).hexdigest()[:12]}"

    def _with_adapters(self, folders: Mapping[str, str | os.PathLike[str]]) -> Self:
        try:
            for name, folder in folders.items():
                self.add_adapter(name, folder)
        except BaseException:
            self.close()
            raise
        return self

    def add_adapter(self, name: str, folder: str | os.PathLike[str]) -> None:
        """Make `name` a model to ask: this one with the adapter that PEFT saved in `folder`.

        Raises ConfigError for a name that is taken, ModelFileError, ModelUnavailableError.
        """
        if name == self.name or name in self.adapter_names:
            raise ConfigError(f"{name!r} is a model already; give the adapter in {folder} another name")
        tuned = self._given.add(name, Path(folder), base=self.name)
        try:
            self.adapters.load(tuned.adapter, tuned.files)
        except BaseException:
            self._given.forget(name)
            raise

    def remove_adapter(self, name: str) -> None:
        """`name` is no model any more; answers under way are finished. Raises ModelNotFoundError."""
        tuned = self._tuned(name)
        self._given.forget(name)
        self.adapters.drop(tuned.adapter)

    @property
    def adapter_names(self) -> list[str]:
        """The names that stand for this model with an adapter."""
        return [tuned.name for tuned in self._given.list(LOCAL.project)]

    def _tuned(self, name: str) -> TunedModel:
        tuned = self._given.find(name, LOCAL.project)
        if tuned is None:
            known = ", ".join([self.name, *self.adapter_names])
            raise ModelNotFoundError(f"there is no model {name!r} here; there are {known}", param="model")
        return tuned

    @property
    def target(self) -> str:
        """The instruction set the decoder runs on."""
        return active_target()

    @property
    def can_chat(self) -> bool:
        """False for a base model, which continues text and cannot hold a conversation."""
        return self.answerer.can_chat

    @property
    def suggested_sampling(self) -> dict[str, Any]:
        """The sampling its makers advise, as keywords for `chat`: from the catalog, else from the model."""
        from pennyweight.models.advice import sampling_advice
        from pennyweight.models.catalog import CATALOG

        entry = CATALOG.get(self.name)
        if entry is None:
            return sampling_advice(self.model.metadata)
        plain = SamplingParams()
        names = [field.name for field in fields(SamplingParams)]
        return {
            name: getattr(entry.sampling, name)
            for name in names
            if getattr(entry.sampling, name) != getattr(plain, name)
        }

    def chat(self, messages: Messages, *, model: str | None = None, **sampling: Any) -> Answer:
        """Answer a conversation. `sampling` takes the fields of the HTTP interface; an unknown one raises.

        `model` is the name of an adapter; None, or the engine's own name: without.
        """
        return _collect(self.events(conversation_from(messages), _options(sampling), model=model))

    def stream(self, messages: Messages, *, model: str | None = None, **sampling: Any) -> Iterator[str]:
        """The text of an answer as it is written; leaving the iteration stops the answer."""
        events = self.events(conversation_from(messages), _options(sampling), model=model)
        return (event.text for event in events if isinstance(event, TextDelta))

    def generate(self, prompt: str, *, model: str | None = None, **sampling: Any) -> Answer:
        """Continue a bare prompt, without a chat template."""
        if not isinstance(prompt, str):
            raise InvalidRequestError(f"prompt must be a text, not {prompt!r:.60}", param="prompt")
        return _collect(self.events(Completion(prompt=prompt), _options(sampling), model=model))

    def embed(self, texts: Texts, *, dimensions: int | None = None) -> list[list[float]]:
        """One vector of length 1 per text, from the encoder `embedding_model` named; see `Encoder.embed`."""
        self._check_process()
        if self._closed:
            raise EngineError("this engine is closed; open another one")
        return self.encoder.open().embed(texts, dimensions=dimensions)

    def events(self, source: Source, options: Options, *, model: str | None = None) -> Iterator[AnswerEvent]:
        """Everything about an answer as it happens; leaving the iteration stops the answer."""
        if self._closed:
            raise EngineError("this engine is closed; open another one")
        self._check_process()
        named = None if model in (None, self.name) else self._tuned(str(model))
        answerer = self.answerer if named is None else self.answerer.adapted(named)
        return self._blocking.iterate(answerer.answer(source, options, LOCAL))

    @property
    def is_serving(self) -> bool:
        """False once the engine is closed or has failed: nothing more will be answered."""
        return self._loop.is_serving and os.getpid() == self._pid

    def stats(self) -> EngineStats:
        """What the engine does at this moment."""
        self._check_process()
        counts = self.adapters.counts()
        return replace(
            self._loop.stats(),
            adapters=counts.loaded,
            adapter_bytes=counts.nbytes,
            adapter_loads=counts.loads,
            adapter_evictions=counts.evictions,
        )

    def when_freed(self, tell: Callable[[], None]) -> None:
        """`tell` is called when the memory is given back: after `close`, with the last reference."""
        weakref.finalize(self._loop, tell).atexit = False

    def close(self) -> None:
        """Stop what runs and end the threads; harmless twice. The memory goes with the last reference."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        self._blocking.close()
        self._loop.close()
        self.encoder.close()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError("this engine was opened in another process; open one after the fork")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _encoder(
    name: str | os.PathLike[str] | None, *, threads: int | None, share: float, offered: bool
) -> EncoderSlot:
    """The encoder that was named (None: the default one, if it is to be `offered`)."""
    if name is not None:
        check_encoder(name)  # a misspelt one is told before anything is fetched
    cores = CoreTurns(batch_share=share)
    return EncoderSlot(name, threads=threads, cores=cores, offered=offered or name is not None)


def _memory_plan(memory: int | str | None, threads: int | None) -> MemoryPlan:
    from pennyweight.memory import MemoryPlan, parse_memory

    active_target()  # a forced one that this machine lacks is told before all else
    ceiling = None if memory is None else parse_memory(memory)
    return MemoryPlan(ceiling, threads=threads or useful_threads())


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ConfigError(f"{name} must be a whole number from 1, not {value!r}")


def conversation_from(messages: Messages) -> Conversation:
    """Check Python's messages as the HTTP interface does; what it would ignore raises here."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    ignored: set[str] = set()
    listed = list(messages) if isinstance(messages, Iterable) else messages
    conversation = read_messages(
        [dict(m) if isinstance(m, Mapping) else m for m in listed] if isinstance(listed, list) else listed,
        ignored=ignored,
    )
    if ignored:
        raise unknown(min(ignored), ("role", "content"))
    return conversation


def find_model(name_or_path: str | os.PathLike[str] | None, progress: Progress | None) -> Path:
    """The model's file; a catalog model whose licence asks nothing is fetched if it is not there."""
    from pennyweight.models.catalog import CATALOG, DEFAULT_MODEL
    from pennyweight.models.local import resolve

    name = DEFAULT_MODEL if name_or_path is None else name_or_path
    named = CATALOG.get(str(name))
    if named is not None and named.kind != "decoder":
        raise ConfigError(f"{name} makes vectors and answers nothing; choose a model such as {DEFAULT_MODEL}")
    try:
        return resolve(name)
    except ModelNotFoundError:
        entry = CATALOG.get(str(name))
        if entry is None or entry.licence.terms is not None:
            raise
        from pennyweight.models.fetch import pull

        return pull(entry, progress=stage_progress(progress, "download"))


def active_target() -> str:
    """The instruction set in use. ConfigError if PENNYWEIGHT_ISA forces one that cannot run here."""
    from pennyweight.native import _native

    try:
        return _native.active_target()
    except ValueError as error:
        raise ConfigError(f"PENNYWEIGHT_ISA: {error}") from error


def useful_threads() -> int:
    """Physical cores this process may use."""
    from pennyweight.native import _native

    return _native.useful_threads()


def stage_progress(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    """`progress` of one stage, with the bytes alone."""
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)


def _options(sampling: Mapping[str, object]) -> Options:
    # `n` and log-probabilities have no place in an Answer; the HTTP interface has them.
    return options_from_keywords(sampling, without=frozenset({"n", "logprobs", "top_logprobs"}))


def _collect(events: Iterator[AnswerEvent]) -> Answer:
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, Finished):
            return Answer(text=text, finish_reason=event.reason, usage=event.usage, timings=event.timings)
    raise EngineError("the engine ended an answer without saying why")
