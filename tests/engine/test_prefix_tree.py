"""The prefix tree against its definition: the longest common prefix with anything it was told and keeps."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest

from pennyweight.core import CacheNamespace, EmbeddingSpan
from pennyweight.engine.block_table import BlockTable
from pennyweight.engine.pages import PagePool
from pennyweight.engine.prefix_tree import MIN_TAIL_TOKENS, PositionKey, PrefixTree, common_length
from pennyweight.engine.prompt import FlatPrompt

OURS, THEIRS = CacheNamespace(model="m"), CacheNamespace(model="m", project="theirs")


class Shelf:
    """A tree with its pool, and tables filled as the cache fills them."""

    def __init__(self, num_pages: int = 64) -> None:
        self.pool = PagePool(num_pages)
        self.tree = PrefixTree(self.pool)

    def put(self, keys: list[PositionKey], namespace: CacheNamespace = OURS) -> BlockTable:
        table = BlockTable(self.pool)
        table.share(self.tree.match(namespace, keys, limit=len(keys)).pages)
        self.tree.make_room(table.missing(len(keys)))
        table.reserve(len(keys))
        self.tree.insert(namespace, keys, table, limit=len(keys))
        self.check()
        return table

    def check(self) -> None:
        self.pool.check_integrity()
        self.tree.check_integrity()

    def found(self, keys: list[PositionKey], namespace: CacheNamespace = OURS) -> int:
        return self.tree.match(namespace, keys, limit=len(keys)).num_tokens


def keys(count: int, *, salt: int = 0) -> list[PositionKey]:
    return [salt * 1000 + i for i in range(count)]


def test_whole_pages_are_shared_and_part_of_one_is_a_tail() -> None:
    shelf = Shelf()
    table = shelf.put(keys(150))
    match = shelf.tree.match(OURS, keys(300), limit=300)
    assert match.pages == table.pages[:2]
    assert match.tail is not None
    assert (match.tail.page, match.tail.num_tokens) == (table[2], 22)


@pytest.mark.parametrize("limit", [0, 5, 7, 8, 63, 64, 71, 72, 149])
def test_the_limit_holds(limit: int) -> None:
    shelf = Shelf()
    shelf.put(keys(150))
    whole, tail = divmod(limit, 64)
    assert shelf.tree.match(OURS, keys(150), limit=limit).num_tokens == whole * 64 + (
        tail if tail >= MIN_TAIL_TOKENS else 0
    )


def test_namespaces_are_apart() -> None:
    shelf = Shelf()
    shelf.put(keys(150))
    assert shelf.found(keys(150), THEIRS) == 0


def embedded(name: bytes) -> EmbeddingSpan:
    return EmbeddingSpan(content_hash=sha256(name).digest(), positions=70, vectors=b"")


def test_an_embedding_is_not_a_token() -> None:
    shelf = Shelf()
    cat, dog = ([*FlatPrompt.of((embedded(name),)).keys] for name in (b"cat", b"dog"))
    shelf.put(cat)
    assert shelf.found(cat) == 64, "6 positions behind the page are not worth a copy"
    assert shelf.found(dog) == 0
    assert shelf.found(keys(70)) == 0


def test_a_second_copy_of_a_page_is_given_back() -> None:
    """Two sequences computed the same text at the same time."""
    shelf = Shelf()
    first, second = BlockTable(shelf.pool), BlockTable(shelf.pool)
    for table in (first, second):
        table.reserve(150)
    for count in (30, 100, 150):
        for table in (first, second):
            shelf.tree.insert(OURS, keys(count), table, limit=count)
            shelf.check()
    assert first.pages[:2] == second.pages[:2]
    assert first[2] != second[2], "each writes its own tail"
    assert shelf.pool.num_free == 64 - 4


def test_a_growing_page_keeps_its_node() -> None:
    shelf = Shelf()
    table = BlockTable(shelf.pool)
    table.reserve(64)
    for count in range(1, 65):
        shelf.tree.insert(OURS, keys(count), table, limit=count, known=count - 1)
        shelf.check()
    assert shelf.pool.num_cached == 1
    assert shelf.found(keys(64)) == 64


def test_eviction_takes_the_longest_unused_leaf_first() -> None:
    shelf = Shelf(8)
    old, new = shelf.put(keys(192)), shelf.put(keys(192, salt=1))
    old.release()
    new.release()
    assert shelf.found(keys(128)) == 128
    shelf.tree.make_room(4)
    shelf.check()
    assert shelf.found(keys(192)) == 64 * 1
    assert shelf.found(keys(192, salt=1)) == 192
    shelf.tree.make_room(8)
    shelf.check()
    assert shelf.found(keys(192, salt=1)) == 0
    assert not shelf.tree._roots, "an empty namespace is forgotten"


def test_held_pages_are_never_evicted() -> None:
    shelf = Shelf(8)
    held = shelf.put(keys(192))
    shelf.put(keys(192, salt=1)).release()
    shelf.tree.make_room(5)
    with pytest.raises(StopIteration):
        shelf.tree.make_room(6)
    assert shelf.found(keys(192)) == 192
    held.release()
    shelf.tree.make_room(8)
    assert shelf.pool.num_free == 8


@pytest.mark.parametrize("seed", range(5))
def test_random_texts_match_by_their_longest_common_prefix(seed: int) -> None:
    random = Random(seed)
    shelf = Shelf(400)
    known: list[list[PositionKey]] = []
    for _ in range(60):
        start = random.choice(known)[: random.randint(1, 200)] if known and random.random() < 0.8 else []
        text = [*start, *(random.randrange(2) for _ in range(random.randint(1, 150)))]
        longest = max((_common(text, other) for other in known), default=0)
        whole, tail = divmod(longest, 64)
        assert shelf.found(text) in (longest, whole * 64), "a wrong prefix"
        if tail >= MIN_TAIL_TOKENS:
            assert shelf.found(text) == longest, "a prefix was missed"
        table = shelf.put(text)
        known.append(text)
        table.release()
        shelf.check()


def _common(first: list[PositionKey], second: list[PositionKey]) -> int:
    shortest = min(len(first), len(second))
    return common_length(first[:shortest], second[:shortest])


@pytest.mark.parametrize("seed", range(5))
def test_random_eviction_leaves_a_sound_tree(seed: int) -> None:
    random = Random(seed)
    shelf = Shelf(24)
    tables: list[BlockTable] = []
    for _ in range(300):
        if tables and random.random() < 0.5:
            tables.pop(random.randrange(len(tables))).release()
        elif shelf.pool.num_available >= 4:
            tables.append(
                shelf.put(
                    [random.randrange(2) // random.randint(1, 3) for _ in range(random.randint(1, 250))]
                )
            )
        shelf.check()
    for table in tables:
        table.release()
    shelf.tree.make_room(24)
    assert shelf.pool.num_free == 24
