"""A decoder in Python with the native module's exact interface, whose arithmetic is a checksum.

A page really stores a token and a position per slot, and the next token depends on every token read back
through the row's pages. An aliased, stale or forgotten page therefore changes the text or fails at once.
`next_token` says what follows a text, without pages.
"""

from __future__ import annotations

import struct
import threading
from array import array
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any
from zlib import crc32

from pennyweight.core import PAGE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VOCAB_SIZE = 211
END_TOKENS = frozenset({7})
PAGE_BYTES = 16 * PAGE_TOKENS
MASK_BYTES = 4 * ((VOCAB_SIZE + 31) // 32)


class Logits(Enum):
    NONE = 0
    LAST = 1
    ALL = 2


@dataclass(kw_only=True, eq=False)
class Row:
    tokens: Sequence[int]
    position: int
    pages: Sequence[int]
    sampler: int | None = None
    logits: Logits = Logits.LAST
    draft_length: int = 0
    targets: Sequence[int] = ()
    target_top: int = 0
    embeddings: Sequence[tuple[int, bytes]] = ()
    masked: bool = False
    hidden: bool = False
    adapter: Any = None
    taken: Sequence[int] = ()


@dataclass(kw_only=True)
class RowResult:
    row: int
    tokens: list[int] = field(default_factory=list)
    accepted_drafts: int = 0
    stopped: bool = False
    logprobs: list[float] = field(default_factory=list)
    top: list[list[tuple[int, float]]] = field(default_factory=list)
    target_logprobs: list[float] = field(default_factory=list)
    target_top: list[list[tuple[int, float]]] = field(default_factory=list)
    hidden: bytes = b""
    error: str = ""


@dataclass(kw_only=True)
class Sampler:
    seed: int
    choice: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()
    end_tokens: Sequence[int] = ()
    min_tokens: int = 0
    top_logprobs: int | None = None
    prompt: Sequence[int] = ()
    num_sampled: int = 0
    history: int = 0  # a sum over the sampled tokens, which stands for penalty counts

    def take(self, digest: int, mask: bytes | None) -> int:
        """Sample, as `digest` of the text, the seed and the slot's own history have it."""
        token = next_token(
            digest,
            seed=self.seed,
            choice=self.choice,
            temperature=self.temperature,
            history=self.history if self.frequency_penalty else 0,
            num_sampled=self.num_sampled,
        )
        banned = self.end_tokens if self.num_sampled < self.min_tokens else ()
        while token in banned or (mask is not None and not mask[token // 8] >> token % 8 & 1):
            token = (token + 1) % VOCAB_SIZE
        self.count(token)
        return token

    def count(self, token: int) -> None:
        """`token` was taken, sampled or not."""
        self.num_sampled += 1
        self.history += token


def _masks_of(run: bytes) -> list[bytes]:
    return [run[start : start + MASK_BYTES] for start in range(0, len(run), MASK_BYTES)]


def digest_of(contents: Sequence[int], start: int = 0) -> int:
    """Checksum of a text; `start` is the checksum of what stands before."""
    return crc32(array("Q", contents).tobytes(), start)


def next_token(
    digest: int, *, seed: int, choice: int, temperature: float, history: int, num_sampled: int
) -> int:
    """The token after a text, from its checksum and the sampler's state."""
    parts = (digest, history, seed, choice, num_sampled) if temperature > 0 else (digest, history)
    return crc32(array("Q", parts).tobytes()) % VOCAB_SIZE


def logprob(digest: int, token: int) -> float:
    """Log-probability of `token` after the text with this checksum."""
    return -(1 + crc32(f"{digest} {token}".encode()) % 1000) / 100


class Decoder:
    """Runs lazily: a call of `finish` works off at most `steps_per_finish` steps.

    `before_step` is called before each; a test may interrupt, submit, wait or raise in it.
    """

    def __init__(
        self,
        *,
        num_pages: int,
        steps_per_finish: int = 3,
        before_step: Callable[[], None] = lambda: None,
    ) -> None:
        self.num_pages = num_pages
        self.page_bytes = 1
        self.samplers: dict[int, Sampler] = {}
        self.steps_run = 0
        self.tokens_computed = 0
        self.plans: list[tuple[list[Row], int]] = []
        self._steps_per_finish = steps_per_finish
        self._before_step = before_step
        self._contents = [[-1] * PAGE_TOKENS for _ in range(num_pages)]
        self._positions = [[-1] * PAGE_TOKENS for _ in range(num_pages)]
        self._num_opened = 0
        self._rows: list[Row] = []
        self._live: list[int] = []
        self._steps_left = 0
        self._interrupted = threading.Event()

    def open_sampler(self, **options: object) -> int:
        self._num_opened += 1
        self.samplers[self._num_opened] = Sampler(**options)  # type: ignore[arg-type]
        return self._num_opened

    def close_sampler(self, slot: int) -> None:
        if self._steps_left:
            raise RuntimeError("close a sampler: a plan is running")
        del self.samplers[slot]

    def copy_page(self, source: int, destination: int) -> None:
        assert not self._steps_left, "pages are copied between plans only"
        self._contents[destination] = list(self._contents[source])
        self._positions[destination] = list(self._positions[source])

    def commit_page(self, page: int) -> None:
        assert 0 <= page < self.num_pages

    def read_page(self, page: int) -> bytes:
        assert not self._steps_left, "pages are read between plans only"
        return struct.pack(f"<{2 * PAGE_TOKENS}q", *self._contents[page], *self._positions[page])

    def write_page(self, page: int, data: bytes | memoryview) -> None:
        assert not self._steps_left, "pages are written between plans only"
        values = struct.unpack(f"<{2 * PAGE_TOKENS}q", data)
        self._contents[page], self._positions[page] = [*values[:PAGE_TOKENS]], [*values[PAGE_TOKENS:]]

    def begin(self, rows: Sequence[Row], *, steps: int = 1) -> None:
        assert not self._steps_left, "the last plan is not finished"
        assert rows, "an empty plan"
        for row in rows:
            covered = row.position + len(row.tokens) + steps - 1
            assert row.tokens, "a row of no tokens"
            assert len(row.pages) * PAGE_TOKENS >= covered, "the pages do not cover the row"
            assert len(set(row.pages)) == len(row.pages), "a page twice in a row"
            assert steps == 1 or (len(row.tokens) == 1 and not row.masked and not row.draft_length)
            assert row.sampler is None or row.sampler in self.samplers
            assert not row.targets or len(row.targets) == len(row.tokens), "one target per token"
            assert not row.draft_length or row.logits is not Logits.NONE
        self.plans.append((list(rows), steps))
        self._rows, self._live, self._steps_left = list(rows), list(range(len(rows))), steps
        self._tokens = [list(row.tokens) for row in rows]
        self._at = [row.position for row in rows]
        self._interrupted.clear()

    @property
    def cpu_s(self) -> float:
        """As if every step took its threads a second."""
        return float(self.steps_run)

    def interrupt(self) -> None:
        self._interrupted.set()

    def finish(
        self, masks: Sequence[tuple[int, bytes]] = (), *, timeout_s: float = 0.01
    ) -> tuple[list[list[RowResult]], bool]:
        assert timeout_s > 0
        given = dict(masks)
        if any(not mask or len(mask) % MASK_BYTES for mask in given.values()):
            raise ValueError("a mask of the wrong size")
        finished: list[list[RowResult]] = []
        while self._steps_left and len(finished) < self._steps_per_finish:
            try:
                self._before_step()
            except BaseException:
                self._steps_left = 0
                raise
            finished.append(self._step(given))
            self._steps_left -= 1
            if self._interrupted.is_set() or not self._live:
                self._steps_left = 0
        return finished, self._steps_left == 0

    def _step(self, masks: dict[int, bytes]) -> list[RowResult]:
        self._check_races()
        results = [self._run_row(index, masks.get(index)) for index in self._live]
        self._live = [result.row for result in results if not result.stopped]
        self.steps_run += 1
        return results

    def _check_races(self) -> None:
        """No row may write what another reads or writes in the same step."""
        writers: dict[tuple[int, int], int] = {}
        for index in self._live:
            for position in range(self._at[index], self._at[index] + len(self._tokens[index])):
                place = self._rows[index].pages[position // PAGE_TOKENS], position % PAGE_TOKENS
                assert place not in writers, "two rows write one slot"
                writers[place] = index
        written = {page: (slot, index) for (page, slot), index in sorted(writers.items(), reverse=True)}
        for index in self._live:
            for number, page in enumerate(self._rows[index].pages):
                slot, writer = written.get(page, (PAGE_TOKENS, index))
                readable = self._at[index] - number * PAGE_TOKENS
                assert writer == index or slot >= readable, "a row reads what another writes"

    def _run_row(self, index: int, mask: bytes | None) -> RowResult:
        row, tokens, start = self._rows[index], self._tokens[index], self._at[index]
        assert (mask is not None) == row.masked, "masks are given for masked rows and only for them"
        before = digest_of(self._read(row, start))
        contents = list(tokens)
        for offset, vectors in row.embeddings:
            count = len(vectors) // 4
            for k in range(count):
                contents[offset + k] = 2**32 + crc32(vectors[4 * k : 4 * k + 4])
        self._write(row, start, contents)
        self.tokens_computed += len(tokens)
        result = RowResult(row=index)
        if row.targets:
            self._score(row, contents, before, result)
        if row.sampler is not None:
            self._sample(row, contents, before, mask, result)
        self._at[index] = start + len(tokens) - row.draft_length + result.accepted_drafts
        self._tokens[index] = result.tokens[-1:]
        return result

    def _read(self, row: Row, stop: int) -> list[int]:
        contents: list[int] = []
        for first in range(0, stop, PAGE_TOKENS):
            page, count = row.pages[first // PAGE_TOKENS], min(PAGE_TOKENS, stop - first)
            positions = self._positions[page][:count]
            assert positions == list(range(first, first + count)), f"page {page} holds something else"
            contents += self._contents[page][:count]
        return contents

    def _write(self, row: Row, start: int, contents: list[int]) -> None:
        for position, content in enumerate(contents, start):
            page = row.pages[position // PAGE_TOKENS]
            self._contents[page][position % PAGE_TOKENS] = content
            self._positions[page][position % PAGE_TOKENS] = position

    def _score(self, row: Row, contents: list[int], before: int, result: RowResult) -> None:
        assert row.logits is Logits.ALL
        for content, target in zip(contents, row.targets, strict=True):
            before = digest_of([content], before)
            result.target_logprobs.append(logprob(before, target))
            if row.target_top:
                others = range(row.target_top)
                result.target_top.append([(other, logprob(before, other)) for other in others])

    def _sample(
        self, row: Row, contents: list[int], before: int, mask: bytes | None, result: RowResult
    ) -> None:
        assert row.sampler is not None
        sampler = self.samplers[row.sampler]
        for taken in row.taken:
            sampler.count(taken)
        drafts = contents[len(contents) - row.draft_length :]
        masks: Sequence[bytes | None] = [None] * (len(drafts) + 1) if mask is None else _masks_of(mask)
        assert len(masks) <= len(drafts) + 1, "more masks than positions to sample at"
        digest = digest_of(contents[: len(contents) - row.draft_length], before)
        for draft, allowed in zip([*drafts, None], masks, strict=False):
            token = sampler.take(digest, allowed)
            result.tokens.append(token)
            if sampler.top_logprobs is not None:
                result.logprobs.append(logprob(digest, token))
                others = range(sampler.top_logprobs)
                result.top.append([(other, logprob(digest, other)) for other in others])
            result.stopped = token in sampler.end_tokens
            if result.stopped or token != draft or len(result.tokens) == len(masks):
                return
            result.accepted_drafts += 1
            digest = digest_of([token], digest)
