"""`Engine`: a model opened for Python programs, and the composition that command line and server share.

A file becomes a packed model, a decoder over a pool of pages sized to the machine, the engine's thread, and
an `Answerer` on top. The synchronous methods run its one asynchronous way to answer on a private event
loop.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

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

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.events import AnswerEvent, EndReason
    from pennyweight.answers.options import Options
    from pennyweight.core import Timings, Usage
    from pennyweight.encoder import Texts
    from pennyweight.engine.loop import EngineStats, StepLoop
    from pennyweight.memory import PoolSize
    from pennyweight.models.load import LoadedModel
    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.rounded import WeightType
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native import _native

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
        self, *, model: LoadedModel, loop: StepLoop, answerer: Answerer, context: int, encoder: EncoderSlot
    ) -> None:
        """Programs use `Engine.open`."""
        from pennyweight.answers.blocking import BlockingLoop

        self.model = model
        self.context = context
        self.answerer = answerer
        self.encoder = encoder
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
        batch_share: int = 10,
        embedding_model: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """Open an installed model by name, or a GGUF file or a Hugging Face folder by path.

        None: the default one, fetched if absent.

        `context` is in tokens, `parallel` in whole contexts held at once; by default both suit the memory
        there is. `memory` (bytes, or text such as "1.5GiB") is a ceiling on all the memory this process
        takes. `weights` ("q8_0", "q4_0", "q4_1"): a model of floats is rounded to that as it is read; None:
        as they are. `batch_share` percent of the engine's time are for batches although people wait.
        `embedding_model` is for `embed`; None: the default one, opened (and fetched) when it is first
        needed, which a stated `memory` rules out.
        Raises ModelNotFoundError, ModelFileError, FetchError, ConfigError.
        """
        for name, value in (("context", context), ("parallel", parallel), ("threads", threads)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ConfigError(f"{name} must be a whole number from 1, not {value!r}")
        from pennyweight.memory import MemoryPlan, parse_memory
        from pennyweight.models.rounded import check_weight_type

        rounded = check_weight_type(weights)
        active_target()  # a forced one that this machine lacks is told before anything is fetched or loaded
        plan = MemoryPlan(
            None if memory is None else parse_memory(memory), threads=threads or useful_threads()
        )
        if embedding_model is not None:
            check_encoder(embedding_model)  # a misspelt one is told before anything is fetched
        path = find_model(name_or_path, progress)
        offered = memory is None or embedding_model is not None
        encoder = EncoderSlot(
            embedding_model, threads=threads, cores=CoreTurns(batch_share=batch_share / 100), offered=offered
        )
        try:
            if embedding_model is not None:
                encoder.warm_up(progress=_stage(progress, "encoder"))  # before `plan` measures what is left
            return compose(
                path,
                plan,
                encoder,
                context=context,
                parallel=parallel,
                threads=threads,
                weights=rounded,
                batch_share=batch_share / 100,
                progress=progress,
            )
        except BaseException:
            encoder.close()
            raise

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
        """Equal fingerprints and seeds give equal text: a digest of the weights and of this version."""
        from pennyweight import __version__

        digest = hashlib.sha256(f"{self.model.content_hash} {__version__}".encode()).hexdigest()
        return f"fp_{digest[:12]}"

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

    def chat(self, messages: Messages, **sampling: Any) -> Answer:
        """Answer a conversation. `sampling` takes the fields of the HTTP interface; an unknown one raises."""
        return _collect(self.events(conversation_from(messages), _options(sampling)))

    def stream(self, messages: Messages, **sampling: Any) -> Iterator[str]:
        """The text of an answer as it is written; leaving the iteration stops the answer."""
        events = self.events(conversation_from(messages), _options(sampling))
        return (event.text for event in events if isinstance(event, TextDelta))

    def generate(self, prompt: str, **sampling: Any) -> Answer:
        """Continue a bare prompt, without a chat template."""
        if not isinstance(prompt, str):
            raise InvalidRequestError(f"prompt must be a text, not {prompt!r:.60}", param="prompt")
        return _collect(self.events(Completion(prompt=prompt), _options(sampling)))

    def embed(self, texts: Texts, *, dimensions: int | None = None) -> list[list[float]]:
        """One vector of length 1 per text, from the encoder `embedding_model` named; see `Encoder.embed`."""
        self._check_process()
        if self._closed:
            raise EngineError("this engine is closed; open another one")
        return self.encoder.open().embed(texts, dimensions=dimensions)

    def events(self, source: Source, options: Options) -> Iterator[AnswerEvent]:
        """Everything about an answer as it happens; leaving the iteration stops the answer."""
        if self._closed:
            raise EngineError("this engine is closed; open another one")
        self._check_process()
        return self._blocking.iterate(self.answerer.answer(source, options, LOCAL))

    @property
    def is_serving(self) -> bool:
        """False once the engine is closed or has failed: nothing more will be answered."""
        return self._loop.is_serving and os.getpid() == self._pid

    def stats(self) -> EngineStats:
        """What the engine does at this moment."""
        self._check_process()
        return self._loop.stats()

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

        return pull(entry, progress=_stage(progress, "download"))


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


class Plan(Protocol):
    """How much memory a model gets; `MemoryPlan` is one. `admit` comes first."""

    def admit(self, outline: ModelOutline) -> None: ...

    def pool(self, spec: ModelSpec, *, context: int | None, parallel: int | None) -> PoolSize: ...


def compose(
    path: Path,
    plan: Plan,
    encoder: EncoderSlot,
    *,
    name: str | None = None,
    context: int | None,
    parallel: int | None,
    threads: int | None,
    weights: WeightType | None = None,
    batch_share: float,
    progress: Progress | None,
    loading: Callable[..., LoadedModel] | None = None,
) -> Engine:
    """An engine over the model at `path`, called `name` (None: as its file says).

    `loading` stands in for `models.load.load`. Raises ModelFileError, ConfigError.
    """
    # Imported here, so that importing this module stays cheap.
    from pennyweight.answers.answer import Answerer
    from pennyweight.engine.limits import Limits
    from pennyweight.engine.loop import StepLoop
    from pennyweight.models.load import load
    from pennyweight.native import _native
    from pennyweight.text.template import ChatTemplate
    from pennyweight.text.tokenizer import Tokenizer
    from pennyweight.text.tools.detect import find_dialect

    report, admit = _stage(progress, "load"), _admission(plan, threads, progress)
    model = (loading or load)(path, context=context, weights=weights, progress=report, admit=admit)
    model = replace(model, name=name or model.name)
    tokenizer = Tokenizer.from_metadata(model.metadata)
    template = ChatTemplate.from_metadata(model.metadata)
    size = plan.pool(model.spec, context=context, parallel=parallel)
    limits = Limits(
        vocab_size=model.spec.vocab_size,
        context_length=size.context,
        num_pages=size.num_pages,
        batch_share=batch_share,
    )
    loop = StepLoop(
        _decoder(model, size, threads),
        _native,
        limits=limits,
        end_tokens=frozenset(tokenizer.end_token_ids),
        cores=encoder.cores,
    )
    answerer = Answerer(
        engine=loop,
        tokenizer=tokenizer,
        template=template,
        model_name=model.name,
        model_hash=model.content_hash,
        context=size.context,
        vocab_size=model.spec.vocab_size,
        dialect=find_dialect(model.metadata),
    )
    return Engine(
        model=model.without_lists(), loop=loop, answerer=answerer, context=size.context, encoder=encoder
    )


def _decoder(model: LoadedModel, size: PoolSize, threads: int | None) -> _native.Decoder:
    from pennyweight.native import _native

    try:
        return _native.Decoder(model.model, num_pages=size.num_pages, num_threads=threads or 0)
    except (MemoryError, RuntimeError, ValueError) as error:  # memory or threads the system does not give
        raise ConfigError(
            f"the engine could not start: {error}; lower context, parallel or threads"
        ) from error


def _admission(plan: Plan, threads: int | None, progress: Progress | None) -> Callable[[ModelOutline], None]:
    """Lets `plan` judge a model before anything of it is read, then tells what it will take."""

    def admit(outline: ModelOutline) -> None:
        from pennyweight.memory_need import memory_need
        from pennyweight.system_memory import available_memory, resident_memory

        plan.admit(outline)
        if progress is not None:
            held = resident_memory()
            need = memory_need(outline, resident_bytes=held, threads=threads or useful_threads())
            progress("memory", need.total_bytes, held + available_memory())

    return admit


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
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
