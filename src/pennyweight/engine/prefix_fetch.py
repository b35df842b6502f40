"""Requests whose prefix is on disk wait here until it is back in pages, if reading is cheaper than computing.

A request is held before the scheduler hears of it, for no longer than computing what it waits for would take.
One is read for at a time, some pages at once: the engine goes on between them. What comes back is put into
the prefix tree, where the request finds it like any other prefix. Runs on the engine's thread; a `PageReader`
reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS
from pennyweight.engine.page_label import page_labels
from pennyweight.engine.page_reader import PageReader, ReadJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.engine.kv_cache import KvCache
    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.engine.page_label import PageLabel
    from pennyweight.engine.page_reader import PagesRead
    from pennyweight.engine.runner import Runner
    from pennyweight.engine.sequence import SequenceGroup
    from pennyweight.engine.step_cost import StepCost

BATCH_PAGES = 8  # read at once, and put into the tree between two plans
GUESSED_BYTES_PER_S = 5e8
NEW_WEIGHT = 0.25  # of the newest measurement of the disk
LEAST_PATIENCE_S = 0.05


@dataclass(slots=True, eq=False, kw_only=True)
class Held:
    """A request that waits for whole pages `labels`, the first of which is page `first` of its prompt."""

    group: SequenceGroup
    first: int
    labels: tuple[PageLabel, ...]
    expires_s: float

    @property
    def num_left(self) -> int:
        return len(self.labels)


class PrefixFetch:
    """Without a folder no request is ever held. `post` is called from another thread."""

    def __init__(
        self,
        folder: PageFolder | None,
        cache: KvCache,
        runner: Runner,
        cost: StepCost,
        *,
        post: Callable[[PagesRead], None],
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._cache = cache
        self._runner = runner
        self._cost = cost
        self._clock = clock
        self._reader = None if folder is None else PageReader(folder, post)
        self._page_s = 0.0 if folder is None else folder.page_bytes / GUESSED_BYTES_PER_S
        self._held: deque[Held] = deque()
        self._job: ReadJob | None = None  # with the reader
        self._reads_for: Held | None = None

    @property
    def wait_s(self) -> float | None:
        """How long from now until a request has been held for long enough; None: there is none."""
        if not self._held:
            return None
        return max(0.0, min(held.expires_s for held in self._held) - self._clock())

    def hold(self, group: SequenceGroup) -> bool:
        """Whether `group` is kept back until `take`, `take_expired` or `let_go` gives it out again."""
        hangs = self._job is not None and self._reads_for not in self._held
        held = None if hangs else self._look_up(group)
        if held is None:
            return False
        self._held.append(held)
        if self._job is None:
            self._start(held)
        return True

    def take(self, read: PagesRead, *, headroom: int) -> list[SequenceGroup]:
        """Put what was read into pages; the requests that wait no longer. `headroom` pages stay available."""
        if read.job is not self._job:
            return []
        held, self._job, self._reads_for = self._reads_for, None, None
        ready: list[SequenceGroup] = []
        if held is not None and held in self._held:
            self._observe(read)
            if self._place(held, read, headroom) and held.labels:
                self._start(held)
            else:
                self._held.remove(held)
                ready.append(held.group)
        return ready + self._go_on()

    def take_expired(self) -> list[SequenceGroup]:
        """Requests that have waited for long enough."""
        now_s = self._clock()
        expired = [held for held in self._held if held.expires_s <= now_s]
        for held in expired:
            self._held.remove(held)
        return [held.group for held in expired]

    def let_go(self, group: SequenceGroup) -> bool:
        """Hold `group` no longer; whether it was held."""
        held = next((held for held in self._held if held.group is group), None)
        if held is None:
            return False
        self._held.remove(held)
        return True

    def let_all_go(self) -> list[SequenceGroup]:
        """Hold nothing any longer."""
        groups = [held.group for held in self._held]
        self._held.clear()
        return groups

    def close(self) -> None:
        """End the reading."""
        if self._reader is not None:
            self._reader.close()

    def _look_up(self, group: SequenceGroup) -> Held | None:
        """What to wait for, if it is worth it."""
        folder, request, keys = self._folder, group.request, group.prompt.keys
        limit = 0 if request.prompt_logprobs else len(keys) - 1
        if folder is None or limit < PAGE_TOKENS:
            return None
        first = len(self._cache.tree.match(request.namespace, keys, limit=limit).pages)
        whole = limit // PAGE_TOKENS * PAGE_TOKENS
        missing = islice(page_labels(request.namespace, keys, limit=whole), first, None)
        labels = tuple(takewhile(folder.holds, missing))
        if not labels:
            return None
        waiting = sum(held.num_left for held in self._held)
        computing_s = self._cost.prompt_s(start=first * PAGE_TOKENS, tokens=len(labels) * PAGE_TOKENS)
        if (waiting + len(labels)) * self._page_s >= computing_s:
            return None
        expires_s = self._clock() + max(LEAST_PATIENCE_S, computing_s)
        return Held(group=group, first=first, labels=labels, expires_s=expires_s)

    def _start(self, held: Held) -> None:
        assert self._reader is not None
        labels = held.labels[:BATCH_PAGES]
        run: tuple[int, ...] = ()
        if len(labels) == held.num_left:  # then what comes behind, as far as it is the same
            keys = held.group.prompt.keys
            start = (held.first + len(labels)) * PAGE_TOKENS
            rest = keys[start : min(start + PAGE_TOKENS, len(keys) - 1)]
            run = tuple(takewhile(lambda key: key >= 0, rest))  # not into an embedding span
        self._job, self._reads_for = ReadJob(labels, run), held
        self._reader.start(self._job)

    def _place(self, held: Held, read: PagesRead, headroom: int) -> bool:
        """Whether everything asked for was there, and had room."""
        keys, namespace = held.group.prompt.keys, held.group.request.namespace
        num_whole = min(len(read.pages), len(read.job.labels))
        known = held.first * PAGE_TOKENS
        stop = known + num_whole * PAGE_TOKENS
        contents = [keys[:stop]] if num_whole else []
        if len(read.pages) > num_whole:
            contents.append((*keys[:stop], *read.pages[-1][0].tokens))
        rest = iter(read.pages)
        for content in contents:
            pages = self._cache.adopt(namespace, content, known=known, headroom=headroom)
            if pages is None:
                return False
            for page, (_, data) in zip(pages, rest, strict=False):
                self._runner.write_page(page, data)
            known = stop
        held.first += num_whole
        held.labels = held.labels[len(read.job.labels) :]
        return num_whole == len(read.job.labels)

    def _go_on(self) -> list[SequenceGroup]:
        """Read for the next request; those that find nothing worth waiting for now are given out."""
        ready: list[SequenceGroup] = []
        while self._job is None and self._held:
            held = self._held.popleft()
            again = self._look_up(held.group)
            if again is None:
                ready.append(held.group)
                continue
            again.expires_s = held.expires_s
            self._held.appendleft(again)
            self._start(again)
        return ready

    def _observe(self, read: PagesRead) -> None:
        if read.pages:
            each_s = read.seconds / len(read.pages)
            self._page_s += NEW_WEIGHT * (each_s - self._page_s)
