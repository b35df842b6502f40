"""What a grammar gets from inheriting `MaskProvider`."""

from __future__ import annotations

from pennyweight.core import MaskProvider


class Counting(MaskProvider):
    """Allows the token after the last one, of 32, and 31 always."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def mask(self) -> bytes:
        return (1 << 31 | 1 << self.last + 1).to_bytes(4, "little")

    def accept(self, token: int) -> None:
        self.last = token

    def fork(self) -> Counting:
        return Counting(self.last)


def test_nothing_is_forced_unless_said() -> None:
    assert list(Counting().forced()) == []


def test_masks_along_a_draft_leave_the_state_alone() -> None:
    grammar = Counting()
    masks = [Counting(last).mask() for last in range(4)]
    assert grammar.masks([]) == masks[:1]
    assert grammar.masks([1, 2, 3]) == masks
    assert grammar.last == 0


def test_masks_end_with_the_one_that_forbids() -> None:
    masks = [Counting(last).mask() for last in range(2)]
    assert Counting().masks([1, 5, 6]) == masks
