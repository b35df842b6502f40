"""Long prompts, and many with one beginning: what a step costs in Python does not grow with the position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.core import PAGE_TOKENS, CacheNamespace, EmbeddingSpan, Request, TokenSpan
from pennyweight.engine.block_table import BlockTable
from pennyweight.engine.pages import PagePool
from pennyweight.engine.prefix_tree import PrefixTree
from tests.engine.bench import Bench
from tests.engine.requests import GREEDY, NAMESPACE, expected_text, request, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 256
OURS = CacheNamespace(model="m")


class CountedList(list[Any]):
    """Counts the items that are read out of it."""

    num_read = 0

    def __getitem__(self, index: Any) -> Any:
        self.num_read += len(range(*index.indices(len(self)))) if isinstance(index, slice) else 1
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Any]:
        self.num_read += len(self)
        return super().__iter__()

    def take(self) -> int:
        """Items read since the last call."""
        num_read, self.num_read = self.num_read, 0
        return num_read


def test_the_tree_reads_only_what_is_new() -> None:
    pool = PagePool(64)
    tree, table = PrefixTree(pool), BlockTable(pool)
    table.reserve(64 * PAGE_TOKENS)
    content = CountedList(tokens(64 * PAGE_TOKENS))
    for known in range(0, 64 * PAGE_TOKENS - 100, 100):
        tree.insert(OURS, content, table, known=known, limit=known + 100)
        assert content.take() <= 100 + PAGE_TOKENS, f"at position {known}"
    tree.check_integrity()


def test_the_tree_resumes_behind_pages_that_were_found() -> None:
    pool = PagePool(64)
    tree, first, second = PrefixTree(pool), BlockTable(pool), BlockTable(pool)
    content = tokens(300)
    first.reserve(200)
    tree.insert(OURS, content, first, limit=200)
    match = tree.match(OURS, content, limit=299)
    second.share(match.pages)
    second.reserve(300)
    tree.insert(OURS, content, second, known=match.num_tokens, limit=300)
    tree.check_integrity()
    assert tree.match(OURS, content, limit=300).pages == second.pages[:4]
    assert first.pages[:3] == second.pages[:3]


@pytest.mark.parametrize("with_image", [False, True])
def test_a_step_of_a_long_prompt_reads_its_own_tokens_only(with_image: bool) -> None:
    bench = Bench(num_pages=160, chunk=CHUNK, context_length=10_000)
    image = (EmbeddingSpan(b"cat", 3, b"\0" * 12),) if with_image else ()
    prompt = (*image, TokenSpan(tuple(tokens(8000))))
    bench.submit(Request(id="r", prompt=prompt, sampling=GREEDY, namespace=NAMESPACE))
    sequence = bench.answers[0].group.sequences[0]
    bench.step()  # the admission looks for a prefix, once
    sequence.tokens = counted = CountedList(sequence.tokens)
    if with_image:
        sequence._mixed = keys = CountedList(sequence._mixed or [])
    else:
        keys = counted
    while sequence.num_uncomputed > CHUNK:
        at = sequence.num_computed
        bench.step()
        read = counted.take() + (keys.take() if keys is not counted else 0)
        assert read <= 2 * CHUNK + PAGE_TOKENS, f"at position {at}"
    bench.run()


def test_a_prompt_of_128_thousand_tokens() -> None:
    length = 128 * 1024
    bench = Bench(num_pages=2 * 1024 + 1, chunk=1024, context_length=length + 64)
    prompt = tokens(length)
    answers = bench.submit(request(prompt))
    bench.run()
    assert answers.tokens[0] == expected_text(prompt)
    again = bench.submit(request(prompt))
    bench.run()
    assert again.finished[0].usage.cached_tokens == length - 1


@pytest.mark.parametrize("length", [2000, 2048])
def test_32_arrivals_compute_their_common_prefix_once(length: int) -> None:
    bench = Bench(num_pages=256, chunk=512)
    common = tokens(length)
    prompts = [[*common, *tokens(20, salt=salt)] for salt in range(1, 33)]
    answers = [bench.submit(request(prompt)) for prompt in prompts]
    bench.run()
    assert [a.tokens[0] for a in answers] == [expected_text(prompt) for prompt in prompts]
    assert bench.scheduler.counters.prompt_tokens == length + 32 * 20
    assert bench.scheduler.counters.cached_tokens == 31 * length
