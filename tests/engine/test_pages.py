"""The page pool against a model, and its preference for contiguous ids."""

from __future__ import annotations

from random import Random

import pytest

from pennyweight.engine.pages import PagePool


def test_a_growing_owner_gets_contiguous_pages_though_others_grow_beside_it() -> None:
    pool = PagePool(32)
    first, second = [pool.allocate()], [pool.allocate()]
    for _ in range(7):
        first.append(pool.allocate(after=first[-1]))
        second.append(pool.allocate(after=second[-1]))
    for pages in (first, second):
        breaks = [i for i in range(1, 8) if pages[i] != pages[i - 1] + 1]
        assert all(i % 4 == 0 for i in breaks), "an extent of four was broken"


def test_what_was_used_before_is_preferred_to_what_never_was() -> None:
    pool = PagePool(64)
    pages = [pool.allocate() for _ in range(3)]
    for page in pages:
        pool.release(page)
    assert [pool.allocate() for _ in range(3)] == pages
    grown = [0]
    for _ in range(3):
        grown.append(pool.allocate(after=grown[-1]))
    pool.release(2)
    assert pool.allocate() == 12  # the extents of 0, 4 and 8 are in use
    assert pool.allocate(after=1) == 2


def test_broken_extents_are_used_up_when_no_whole_one_is_left() -> None:
    pool = PagePool(6)
    pages = [pool.allocate() for _ in range(6)]
    assert sorted(pages) == list(range(6))
    assert pool.num_free == 0
    pool.check_integrity()


def test_kept_pages_become_idle_in_the_order_of_their_release() -> None:
    pool = PagePool(4)
    pages = [pool.allocate() for _ in range(3)]
    for page in pages:
        pool.keep(page)
    for page in (pages[1], pages[0], pages[2]):
        pool.release(page)
    assert pool.oldest_idle() == pages[1]
    pool.touch(pages[1])
    assert pool.oldest_idle() == pages[0]
    pool.retain(pages[0])
    assert pool.oldest_idle() == pages[2]
    pool.drop(pages[2])
    assert (pool.num_free, pool.num_idle, pool.num_available) == (2, 1, 3)
    pool.check_integrity()


def test_giving_back_twice_is_a_defect() -> None:
    pool = PagePool(4)
    page = pool.allocate()
    pool.release(page)
    with pytest.raises(AssertionError, match="held by nobody"):
        pool.release(page)
    with pytest.raises(AssertionError, match="is free"):
        pool.retain(page)


@pytest.mark.parametrize("num_pages", [1, 4, 7, 64])
def test_random_use_keeps_every_page_in_one_state(num_pages: int) -> None:
    random = Random(num_pages)
    pool = PagePool(num_pages)
    held: list[int] = []
    kept: set[int] = set()
    for _ in range(2000):
        action = random.choice(["allocate", "retain", "release", "keep", "drop"])
        if action == "allocate" and pool.num_free:
            held.append(pool.allocate(after=random.choice([None, *held])))
        elif action == "retain" and (held or kept):
            held.append(random.choice([*held, *kept]))
            pool.retain(held[-1])
        elif action == "release" and held:
            pool.release(held.pop(random.randrange(len(held))))
        elif action == "keep" and set(held) - kept:
            kept.add(random.choice(sorted(set(held) - kept)))
            pool.keep(next(page for page in kept if page not in pool._cached))
        elif action == "drop" and kept:
            kept.remove(page := random.choice(sorted(kept)))
            pool.drop(page)
        pool.check_integrity()
        assert pool.num_free == num_pages - len(set(held) | kept)
        assert pool.num_idle == len(kept - set(held))


def test_a_few_pages_beyond_the_highest_one_used_are_named_for_their_first_touch() -> None:
    pool = PagePool(30)

    def named() -> list[int]:
        return list(iter(lambda: pool.next_to_commit(8), None))

    assert named() == list(range(8))
    assert named() == []
    page = pool.allocate()
    assert named() == [8], "as many again as were used"
    pool.release(page)
    assert pool.allocate() == page
    assert named() == []
    while pool.num_free:
        pool.allocate()
    assert named() == [], "all of them were used"
