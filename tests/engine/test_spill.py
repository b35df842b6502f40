"""Pages that go to disk and come back, through the step loop: the text is that of a cold engine, always."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.core import FinishReason
from pennyweight.engine import page_writer
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.engine.page_file import PageFormat
from pennyweight.engine.page_folder import PageFolder, SpillLimits
from pennyweight.engine.page_label import PageLabel, page_labels
from tests.engine import toy_decoder
from tests.engine.listening import PATIENCE_S, Listening
from tests.engine.requests import GREEDY, NAMESPACE, expected_text, request, tokens
from tests.engine.toy_decoder import END_TOKENS, PAGE_BYTES, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.core import Request

TEXT = tokens(600)
FORMAT = PageFormat(identity=b"t" * 20, page_bytes=PAGE_BYTES)


def folder_at(root: Path, **changes: Any) -> PageFolder:
    fields: dict[str, Any] = {"limit_bytes": 2**30, "least_free_bytes": 0} | changes
    return PageFolder(SpillLimits(root=root, **fields), FORMAT)


@contextmanager
def engine(folder: PageFolder | None, *, num_pages: int = 64, **hooks: Any) -> Iterator[StepLoop]:
    """A loop that must end with every page given back."""
    decoder = Decoder(num_pages=num_pages, **hooks)
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=2048, num_pages=num_pages)
    loop = StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS, folder=folder)
    try:
        yield loop
    finally:
        loop.close()
    loop._scheduler.check_integrity()
    assert loop._scheduler.cache.pool.num_available == num_pages, "pages leaked"
    assert not decoder.samplers, "sampler slots leaked"


def ask(loop: StepLoop, wanted: Request) -> Listening:
    heard = Listening(wanted.num_choices)
    loop.submit(wanted, heard)
    return heard.wait()


def cached(heard: Listening) -> int:
    return heard.finished[0].usage.cached_tokens


def saved_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.page"))


def await_files(root: Path, text: list[int]) -> None:
    """Pauses are used for saving, so this comes true by itself."""
    names = {label.digest.hex() for label in page_labels(NAMESPACE, text, limit=len(text) // 64 * 64)}
    ends_s = time.monotonic() + PATIENCE_S
    while not names.issubset({path.stem.partition("-")[2] for path in saved_files(root)}):
        assert time.monotonic() < ends_s, "it was never saved"
        time.sleep(0.001)


def test_a_prefix_survives_a_restart_to_its_last_token(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        assert cached(ask(loop, request(TEXT))) == 0
    with engine(folder_at(tmp_path)) as loop:
        again = ask(loop, request(TEXT))
        assert again.tokens[0] == expected_text(TEXT)
        assert cached(again) == 599
        longer = [*TEXT[:590], *tokens(50, salt=4)]
        other = ask(loop, request(longer))
        assert other.tokens[0] == expected_text(longer)
        assert cached(other) == 590
    with engine(folder_at(tmp_path)) as loop:  # in a page that goes on differently
        part = [*TEXT[:530], *tokens(90, salt=8)]
        heard = ask(loop, request(part))
        assert heard.tokens[0] == expected_text(part)
        assert cached(heard) == 530
        assert loop.stats().cached_tokens == 530


def test_what_was_evicted_comes_back(tmp_path: Path) -> None:
    texts = [tokens(500, salt=salt) for salt in range(4)]
    with engine(folder_at(tmp_path), num_pages=16) as loop:
        for text in texts:
            assert cached(ask(loop, request(text))) == 0
            await_files(tmp_path, text)
        for text in texts:
            heard = ask(loop, request(text))
            assert heard.tokens[0] == expected_text(text)
            assert cached(heard) >= 448, "whole pages at least"


def test_short_texts_are_not_worth_a_file(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(tokens(200)))
    assert saved_files(tmp_path) == []


def test_projects_do_not_find_each_others_pages(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    with engine(folder_at(tmp_path)) as loop:
        theirs = ask(loop, request(TEXT, namespace=replace(NAMESPACE, project="theirs")))
        assert cached(theirs) == 0
        assert theirs.tokens[0] == expected_text(TEXT)
    assert b"default" not in b"".join(path.read_bytes() for path in saved_files(tmp_path))


@pytest.mark.parametrize("spoilt", [0, 3, 8])
def test_after_a_spoilt_page_the_rest_is_computed(tmp_path: Path, spoilt: int) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    label = [*page_labels(NAMESPACE, TEXT, limit=599)][spoilt]
    path = next(path for path in saved_files(tmp_path) if f"-{label.digest.hex()}" in path.name)
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    with engine(folder_at(tmp_path)) as loop:
        heard = ask(loop, request(TEXT))
        assert heard.tokens[0] == expected_text(TEXT)
        assert cached(heard) == 64 * spoilt
    assert folder_at(tmp_path).read(label) is not None, "it was computed and saved again"


def test_log_probabilities_of_the_prompt_are_computed_as_ever(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    with engine(folder_at(tmp_path)) as loop:
        heard = ask(loop, request(TEXT, prompt_logprobs=True))
        assert cached(heard) == 0
        assert heard.finished[0].prompt_logprobs is not None


class SlowFolder(PageFolder):
    """Reads when it is let."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked = threading.Event()
        self.opened = threading.Event()

    def read(self, label: PageLabel) -> memoryview | None:
        self.asked.set()
        assert self.opened.wait(PATIENCE_S)
        return super().read(label)


def slow_folder(root: Path) -> SlowFolder:
    return SlowFolder(SpillLimits(root=root, limit_bytes=2**30, least_free_bytes=0), FORMAT)


def test_others_go_on_while_a_disk_is_read(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    folder = slow_folder(tmp_path)
    with engine(folder) as loop:
        held = [Listening(), Listening()]
        handles = [loop.submit(request(TEXT), listener) for listener in held]
        assert folder.asked.wait(PATIENCE_S)
        short = tokens(100, salt=5)
        assert ask(loop, request(short)).tokens[0] == expected_text(short)
        handles[1].cancel()
        assert held[1].wait().finished[0].reason is FinishReason.CANCELLED
        folder.opened.set()
        assert held[0].wait().tokens[0] == expected_text(TEXT)


def test_a_disk_that_hangs_is_waited_for_no_longer_than_computing_takes(tmp_path: Path) -> None:
    text = TEXT[:257]
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(text))
    folder = slow_folder(tmp_path)
    with engine(folder) as loop:
        for _ in range(2):
            heard = ask(loop, request(text))
            assert heard.tokens[0] == expected_text(text)
        assert folder.asked.is_set()
        folder.opened.set()


def test_what_waits_for_the_disk_ends_with_the_engine(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    folder = slow_folder(tmp_path)
    heard = Listening()
    with engine(folder) as loop:
        loop.submit(request(TEXT), heard)
        assert folder.asked.wait(PATIENCE_S)
        opener = threading.Timer(0.01, folder.opened.set)
        opener.start()
    assert heard.wait().finished[0].reason is FinishReason.CANCELLED
    opener.join()


def test_many_that_share_a_prefix_read_it_once(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as loop:
        ask(loop, request(TEXT))
    folder = slow_folder(tmp_path)
    folder.opened.set()
    reads: list[PageLabel] = []
    read = folder.read
    folder.read = lambda label: (reads.append(label), read(label))[1]  # type: ignore[method-assign]
    with engine(folder) as loop:
        texts = [[*TEXT[:512], *tokens(20, salt=salt)] for salt in range(8)]
        heard = [Listening() for _ in texts]
        for text, listener in zip(texts, heard, strict=True):
            loop.submit(request(text), listener)
        for text, listener in zip(texts, heard, strict=True):
            assert listener.wait().tokens[0] == expected_text(text)
            assert cached(listener) >= 512
    assert len({label.digest for label in reads}) == len(reads)


def test_a_full_disk_is_told_once_and_answers_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        engine(folder_at(tmp_path, least_free_bytes=2**62)) as loop,
    ):
        for salt in range(3):
            text = tokens(500, salt=salt)
            assert ask(loop, request(text)).tokens[0] == expected_text(text)
    assert saved_files(tmp_path) == []
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Prefixes are not spilled to disk for now"
    ]


def test_writing_begins_again_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_writer, "RETRY_S", 0.0)
    folder = folder_at(tmp_path)
    write, failed = folder.write, threading.Event()

    def failing(label: PageLabel, page: bytes) -> None:
        if failed.is_set():
            write(label, page)
            return
        failed.set()
        raise OSError("once")

    monkeypatch.setattr(folder, "write", failing)
    with engine(folder) as loop:
        ask(loop, request(TEXT))
    assert len(saved_files(tmp_path)) >= 9


def test_two_engines_on_one_folder(tmp_path: Path) -> None:
    with engine(folder_at(tmp_path)) as first, engine(folder_at(tmp_path)) as second:
        texts = [[*TEXT[:300], *tokens(200, salt=salt)] for salt in range(4)]
        for text in texts:
            for loop in (first, second):
                assert ask(loop, request(text)).tokens[0] == expected_text(text)
    with engine(folder_at(tmp_path)) as loop:
        for text in texts:
            heard = ask(loop, request(text))
            assert heard.tokens[0] == expected_text(text)
            assert cached(heard) >= 448


KILLED = """
import sys, threading
from pathlib import Path
from tests.engine.test_spill import TEXT, ask, engine, folder_at, saved_files
from tests.engine.requests import request
with engine(folder_at(Path(sys.argv[1]))) as loop:
    ask(loop, request(TEXT))
    while len(saved_files(Path(sys.argv[1]))) < 6:
        pass
    print("saved", flush=True)
    threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_what_was_saved_survives_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        process.send_signal(signal.SIGKILL)
    with engine(folder_at(tmp_path)) as loop:
        heard = ask(loop, request(TEXT, sampling=GREEDY))
        assert heard.tokens[0] == expected_text(TEXT)
        assert cached(heard) >= 6 * 64
