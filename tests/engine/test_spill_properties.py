"""Random schedules with a disk: pages are saved, evicted, spoilt, lost and read back, texts stay right."""

from __future__ import annotations

import queue
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pennyweight.core import SamplingParams
from pennyweight.engine.page_file import PageFormat
from pennyweight.engine.page_folder import PageFolder, SpillLimits
from pennyweight.engine.page_saver import PageSaver
from pennyweight.engine.prefix_fetch import PrefixFetch
from pennyweight.engine.prompt import FlatPrompt
from pennyweight.engine.sequence import SequenceGroup
from tests.engine.bench import Answers, Bench
from tests.engine.listening import PATIENCE_S
from tests.engine.requests import NAMESPACE, expected_text, request, tokens
from tests.engine.test_engine_properties import NAMESPACES
from tests.engine.toy_decoder import PAGE_BYTES

if TYPE_CHECKING:
    from pennyweight.core import Request
    from pennyweight.engine.page_reader import PagesRead

FORMAT = PageFormat(identity=b"p" * 20, page_bytes=PAGE_BYTES)
SHARED = [tokens(460, salt=salt) for salt in range(2)]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Prompts mostly share long prefixes, which end at page borders often."""
    length = draw(st.sampled_from([100, 255, 256, 257, 320, 400, 448, 460]))
    prompt = [*SHARED[draw(st.integers(0, 1))][:length]]
    prompt += tokens(draw(st.sampled_from([0, 1, 20])), salt=draw(st.integers(5, 7)))
    sampling = SamplingParams(
        temperature=0.0, seed=0, ignore_eos=True, max_tokens=draw(st.sampled_from([1, 10, 80]))
    )
    return request(
        prompt,
        sampling=sampling,
        namespace=draw(st.sampled_from([NAMESPACE, *NAMESPACES])),
        num_choices=draw(st.sampled_from([1, 1, 2])),
        prompt_logprobs=draw(st.integers(0, 5)) == 0,
    )


class SpillBench(Bench):
    """A bench whose requests pass by the disk first, as in the loop."""

    def __init__(self, root: Path, *, num_pages: int, num_files: int) -> None:
        super().__init__(num_pages=num_pages, chunk=200)
        limit = num_files * FORMAT.file_bytes(64)
        folder = PageFolder(SpillLimits(root=root, limit_bytes=limit, least_free_bytes=0), FORMAT)
        self.read: queue.SimpleQueue[PagesRead] = queue.SimpleQueue()
        cache = self.scheduler.cache
        self.saver = PageSaver(folder, cache.tree, self.runner)
        self.fetch = PrefixFetch(
            folder,
            cache,
            self.runner,
            self.scheduler._cost,
            post=self.read.put,
            clock=time.monotonic,
        )

    def submit(self, request: Request) -> Answers:
        group = SequenceGroup(
            request,
            FlatPrompt.of(request.prompt),
            lambda event: answers.hear(event),
            number=len(self.answers),
            seed=0,
            submitted_s=self.now_s,
        )
        answers = Answers(group)
        self.answers.append(answers)
        if not self.fetch.hold(group):
            self.scheduler.add(group)
        return answers

    def receive(self) -> None:
        """Take in one batch of what was read."""
        read = self.read.get(timeout=PATIENCE_S)
        for group in self.fetch.take(read, headroom=len(self.scheduler.running)):
            self.scheduler.add(group)
        self.scheduler.check_integrity()

    def let_go(self, groups: list[SequenceGroup]) -> None:
        for group in groups:
            self.scheduler.add(group)

    def finish(self) -> None:
        """To the end; then check every text."""
        self.let_go(self.fetch.let_all_go())
        self.run()
        for answers in self.answers:
            check(answers)
        self.fetch.close()
        self.saver.close(keep=True)
        self.scheduler.check_integrity()


class Spills(RuleBasedStateMachine):
    """`Bench` checks the integrity of everything before and after every plan."""

    @initialize(num_pages=st.integers(9, 24), num_files=st.sampled_from([16, 40]))
    def start(self, num_pages: int, num_files: int) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.num_pages, self.num_files = num_pages, num_files
        self.bench = SpillBench(self.root, num_pages=num_pages, num_files=num_files)

    @rule(what=requests())
    def submit(self, what: Request) -> None:
        self.bench.submit(what)

    @rule(count=st.integers(1, 5))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.bench.step()

    @rule(count=st.integers(1, 8))
    def save(self, count: int) -> None:
        for _ in range(count):
            self.bench.saver.save_one()

    @rule()
    @precondition(lambda self: self.bench.fetch._job is not None)
    def receive(self) -> None:
        self.bench.receive()

    @rule()
    @precondition(lambda self: self.bench.fetch._held)
    def give_up(self) -> None:
        group = self.bench.fetch._held[0].group
        assert self.bench.fetch.let_go(group)
        self.bench.let_go([group])

    @rule()
    def evict_everything(self) -> None:
        cache = self.bench.scheduler.cache
        cache.tree.make_room(cache.pool.num_available)
        self.bench.scheduler.check_integrity()

    @rule(data=st.data())
    def harm(self, data: st.DataObject) -> None:
        """Another process removes a file, or the disk changes it."""
        files = sorted(self.root.rglob("*.page"))
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        if data.draw(st.booleans()):
            path.unlink(missing_ok=True)
        else:
            spoilt = bytearray(path.read_bytes())
            spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 + data.draw(st.integers(0, 254))
            path.write_bytes(spoilt)

    @rule()
    def restart(self) -> None:
        self.bench.finish()
        self.bench = SpillBench(self.root, num_pages=self.num_pages, num_files=self.num_files)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.finish()
            shutil.rmtree(self.root)


def check(answers: Answers) -> None:
    wanted = answers.group.request
    prompt = list(answers.group.prompt.tokens)
    for choice, finished in answers.finished.items():
        expected = expected_text(prompt, wanted.sampling, choice=choice)
        text = answers.tokens[choice]
        assert text == expected[: len(text)], "a smaller pool than wanted ends a text early"
        assert text
        assert finished.usage.cached_tokens < len(prompt)


Spills.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestSpills = Spills.TestCase
