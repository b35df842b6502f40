"""Windows, the encoder's queue and the embedder over a tiny real encoder."""

from __future__ import annotations

import math
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.embedding_queue import MAX_WAITING_REQUESTS, MAX_WAITING_TOKENS, EmbeddingQueue
from pennyweight.answers.embedding_schema import MAX_INPUTS, parse_embedding
from pennyweight.answers.embedding_waiting import BATCH_TOKENS
from pennyweight.answers.embedding_windows import MAX_TOKENS, WindowCutter
from pennyweight.answers.fields import ParameterError
from pennyweight.encoder import Encoder
from pennyweight.engine.core_turns import CoreTurns
from pennyweight.errors import EngineError, OverloadedError
from pennyweight.text.encoder_tokenizer import EncoderTokenizer
from tests.models.tiny_encoder import VOCABULARY, tokenizer_json, write_encoder_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKENIZER = EncoderTokenizer(tokenizer_json())
CUTTER = WindowCutter(TOKENIZER, window=24)
CLS, SEP, CAT = 2, 3, VOCABULARY.index("cat")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encoder]:
    folder = write_encoder_folder(tmp_path_factory.mktemp("encoder") / "tiny-encoder")
    with Encoder.open(folder, threads=1) as encoder:
        yield encoder


# --- the body -----------------------------------------------------------------------------------------------
def test_every_form_of_input_is_read() -> None:
    for given, want in (
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2], ((1, 2),)),
        ([[1], [2, 3]], ((1,), (2, 3))),
        (["a", [1]], ("a", (1,))),
    ):
        assert parse_embedding({"model": "m", "input": given}).inputs == want


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [1, -1]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": {"a": 1}}, "input"),
        ({"input": None}, "input"),
        ({"input": "a\ud800"}, "input"),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"user": 1}, "user"),
        ({"model": None}, "model"),
        ({"task": "query"}, "task"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(ParameterError) as raised:
        parse_embedding({"model": "m", "input": "a", **changes})
    assert raised.value.param == param


# --- windows ------------------------------------------------------------------------------------------------
def test_a_text_is_opened_and_closed() -> None:
    windows = CUTTER.cut(["cat", "cat cat"])
    assert windows.tokens == ((CLS, CAT, SEP), (CLS, CAT, CAT, SEP))
    assert (windows.of_input, windows.num_tokens) == ((1, 1), 7)


def test_ids_are_as_good_as_their_text_opened_or_not() -> None:
    for ids in ((CAT, CAT), (CLS, CAT, CAT), (CLS, CAT, CAT, SEP)):
        assert CUTTER.cut([ids]) == CUTTER.cut(["cat cat"])


def test_a_long_text_is_split_and_nothing_is_lost() -> None:
    text = "cat the " * 50
    windows = CUTTER.cut([text, "cat"])
    assert windows.of_input == (5, 1)
    assert all(len(window) <= 24 for window in windows.tokens)
    content = [token for window in windows.tokens[:5] for token in window[1:-1]]
    assert content == [CAT, VOCABULARY.index("the")] * 50
    assert windows.num_tokens == 102 + 3


def test_a_text_without_tokens_still_has_a_vector() -> None:
    assert CUTTER.cut(["  "]).tokens == ((CLS, SEP),)


def test_limits_name_the_input() -> None:
    with pytest.raises(ParameterError, match="tokens in all") as raised:
        CUTTER.cut(["cat", "cat " * MAX_TOKENS])
    assert raised.value.param == "input[1]"
    with pytest.raises(ParameterError, match=f"token id {len(VOCABULARY)} at 1") as raised:
        CUTTER.cut([(CAT, len(VOCABULARY))])
    assert raised.value.param == "input"


# --- the queue ----------------------------------------------------------------------------------------------
class Recorder:
    """Stands where the native encoder does, so that a test sees and times the batches."""

    def __init__(self) -> None:
        self.batches: list[list[Sequence[int]]] = []
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    @property
    def cpu_s(self) -> float:
        """As if every batch took its threads a second."""
        return float(len(self.batches))

    def encode(self, texts: Sequence[Sequence[int]]) -> bytes:
        self.batches.append(list(texts))
        self.entered.release()
        assert self.go_on.acquire(timeout=30)
        if any(text[0] == 99 for text in texts):
            raise RuntimeError("no")
        return struct.pack(f"<{len(texts)}f", *(text[0] for text in texts))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def queue(recorder: Recorder) -> Iterator[EmbeddingQueue]:
    queue = EmbeddingQueue(recorder, cores=CoreTurns())
    yield queue
    recorder.go_on.release(1000)
    queue.close()


def _windows(first: int, count: int, size: int = 100) -> list[tuple[int, ...]]:
    return [(first + index, *[0] * (size - 1)) for index in range(count)]


def test_batches_are_short_and_requests_take_turns(recorder: Recorder, queue: EmbeddingQueue) -> None:
    large = queue.put(_windows(1000, 20))
    assert recorder.entered.acquire(timeout=30)
    small = queue.put(_windows(5, 1))
    recorder.go_on.release(2)
    assert struct.unpack("<f", small.result(timeout=30)) == (5.0,)
    assert not large.done()
    recorder.go_on.release(100)
    assert struct.unpack("<20f", large.result(timeout=30)) == tuple(range(1000, 1020))
    assert all(sum(map(len, batch)) <= BATCH_TOKENS for batch in recorder.batches)
    assert len(recorder.batches[0]) == BATCH_TOKENS // 100


def test_people_go_before_lines_which_still_go_on(recorder: Recorder, queue: EmbeddingQueue) -> None:
    lines = [queue.put(_windows(1000 + number, 2), priority="batch") for number in range(50)]
    assert recorder.entered.acquire(timeout=30)
    person = queue.put(_windows(5, 1))
    recorder.go_on.release(2)
    assert struct.unpack("<f", person.result(timeout=30)) == (5.0,)
    assert not lines[-1].done()
    recorder.go_on.release(100)
    assert all(line.result(timeout=30) for line in lines)


def test_lines_that_wait_keep_nobody_out(recorder: Recorder, queue: EmbeddingQueue) -> None:
    for _ in range(MAX_WAITING_REQUESTS):
        queue.put(_windows(0, 1), priority="batch")
    assert recorder.entered.acquire(timeout=30)
    while True:
        try:
            queue.put(_windows(0, 1), priority="batch")
        except OverloadedError:
            break
    person = queue.put(_windows(5, 1))
    recorder.go_on.release(1000)
    assert person.result(timeout=30)


def test_processor_time_is_shared_by_tokens(recorder: Recorder, queue: EmbeddingQueue) -> None:
    recorder.go_on.release(100)
    works = [queue.put(_windows(1, 3)), queue.put(_windows(5, 1, size=50))]
    for work in works:
        work.result(timeout=30)
    assert sum(work.cpu_s for work in works) == pytest.approx(len(recorder.batches))
    assert works[0].cpu_s > works[1].cpu_s > 0
    assert works[0].num_tokens > works[1].num_tokens > 0


def test_a_window_that_did_not_fit_begins_the_next_batch(recorder: Recorder, queue: EmbeddingQueue) -> None:
    queue.put(_windows(1, 1))
    assert recorder.entered.acquire(timeout=30)
    large = queue.put(_windows(1000, 20, size=BATCH_TOKENS // 2 + 2))
    small = queue.put(_windows(5, 1, size=BATCH_TOKENS // 2))
    recorder.go_on.release(3)
    assert struct.unpack("<f", small.result(timeout=30)) == (5.0,)
    assert not large.done()


def test_a_cancelled_request_is_not_computed(recorder: Recorder, queue: EmbeddingQueue) -> None:
    first, second = queue.put(_windows(0, 12)), queue.put(_windows(100, 12))
    assert recorder.entered.acquire(timeout=30)
    assert second.cancel()
    assert first.cancel()
    recorder.go_on.release(100)
    third = queue.put(_windows(200, 1))
    assert third.result(timeout=30)
    assert sum(len(batch) for batch in recorder.batches) <= 6 + 5


def test_a_failure_ends_only_the_requests_of_its_batch(recorder: Recorder, queue: EmbeddingQueue) -> None:
    recorder.go_on.release(100)
    with pytest.raises(EngineError, match="the encoder failed: no"):
        queue.put(_windows(99, 8)).result(timeout=30)
    assert queue.put(_windows(1, 8)).result(timeout=30)


def test_too_much_waiting_is_refused(recorder: Recorder, queue: EmbeddingQueue) -> None:
    queue.put(_windows(0, 1))
    assert recorder.entered.acquire(timeout=30)
    waiting = [queue.put(_windows(0, 1)) for _ in range(MAX_WAITING_REQUESTS)]
    with pytest.raises(OverloadedError, match="try again later"):
        queue.put(_windows(0, 1))
    for future in waiting:
        future.cancel()
    recorder.go_on.release(1000)
    assert queue.put(_windows(0, 1)).result(timeout=30)


def test_too_many_tokens_waiting_are_refused(recorder: Recorder, queue: EmbeddingQueue) -> None:
    queue.put(_windows(0, 1))
    assert recorder.entered.acquire(timeout=30)
    queue.put(_windows(0, MAX_WAITING_TOKENS // 500, size=500))
    with pytest.raises(OverloadedError):
        queue.put(_windows(0, 1))


def test_closing_ends_what_waits(recorder: Recorder, queue: EmbeddingQueue) -> None:
    first, second = queue.put(_windows(0, 1)), queue.put(_windows(1, 20))
    assert recorder.entered.acquire(timeout=30)
    closing = threading.Thread(target=queue.close)
    closing.start()
    recorder.go_on.release(100)
    closing.join()
    assert first.result(timeout=30)
    with pytest.raises(EngineError, match="closed"):
        second.result(timeout=30)
    with pytest.raises(EngineError, match="closed"):
        queue.put(_windows(0, 1))


# --- the embedder -------------------------------------------------------------------------------------------
def _length(vector: list[float]) -> float:
    return math.sqrt(sum(x * x for x in vector))


def test_vectors_have_length_one_and_keep_their_order(encoder: Encoder) -> None:
    texts = ["the cat", "a ship on the sea", "dogs"]
    together = encoder.embed(texts)
    assert [encoder.embed(text)[0] for text in texts] == together
    assert all(_length(vector) == pytest.approx(1, abs=1e-6) for vector in together)
    assert encoder.dimensions == len(together[0]) == 64


def test_fewer_dimensions_are_the_first_ones_rescaled(encoder: Encoder) -> None:
    (whole,), (cut,) = encoder.embed("the cat"), encoder.embed("the cat", dimensions=10)
    length = _length(whole[:10])
    assert cut == pytest.approx([x / length for x in whole[:10]], abs=1e-6)
    with pytest.raises(ParameterError, match="64 numbers"):
        encoder.embed("the cat", dimensions=65)


def test_a_long_text_is_the_mean_over_its_windows(encoder: Encoder) -> None:
    first, second = "cat " * 22, "the ship sailed on the sea"
    (whole,) = encoder.embed(first + second)
    parts = encoder.embedder.cut([first, second])
    data = encoder.embedder.start(parts).result()
    means = [struct.unpack_from("<64f", data, 256 * index) for index in range(2)]
    sizes = list(map(len, parts.tokens))
    mixed = [sizes[0] * a + sizes[1] * b for a, b in zip(*means, strict=True)]
    assert whole == pytest.approx([x / _length(mixed) for x in mixed], abs=1e-6)
    assert whole != encoder.embed(first)[0]
