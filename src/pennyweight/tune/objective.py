"""What is made small: the loss of a pack, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch.nn import functional

from pennyweight.tune.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.group import Group
    from pennyweight.tune.packing import Pack


class Objective(Protocol):
    """The loss of a step is the sum over its packs, divided by the `weight` of its groups."""

    def lessons(self, step: int, examples: list[Group]) -> tuple[list[Group], Tally]:
        """What a step learns from, its examples or what is made of them, and what is known of that already.

        Raises TuningError, StoppedError.
        """
        ...

    def weight(self, groups: Iterable[Group]) -> int: ...

    def loss(self, model: AdaptedModel, pack: Pack) -> tuple[Any, Tally]:
        """The sum over the pack, with its gradient, and what it consists of."""
        ...


class Supervised:
    """Cross-entropy of learnt tokens, each counting the same in whatever example it stands."""

    def lessons(self, step: int, examples: list[Group]) -> tuple[list[Group], Tally]:  # noqa: ARG002
        return examples, Tally()

    def weight(self, groups: Iterable[Group]) -> int:
        return sum(group.num_learnt for group in groups)

    def loss(self, model: AdaptedModel, pack: Pack) -> tuple[Any, Tally]:
        values, right = model.logprobs(pack)
        loss = -values.sum()
        learnt = len(pack.labels)
        return loss, Tally(loss=loss.item(), weight=learnt, right=float(right.sum()), learnt=learnt)


class Preferences:
    """Direct preference optimisation (Rafailov et al. 2023), its sigmoid loss.

    `reference` has, by a group's number, what the base model gives its two answers (natural log-probability
    of each as a whole).
    """

    def __init__(self, *, beta: float, reference: Mapping[int, tuple[float, float]]) -> None:
        self._beta = beta
        self._reference = reference

    def lessons(self, step: int, examples: list[Group]) -> tuple[list[Group], Tally]:  # noqa: ARG002
        return examples, Tally()

    def weight(self, groups: Iterable[Group]) -> int:
        return sum(1 for _ in groups)

    def loss(self, model: AdaptedModel, pack: Pack) -> tuple[Any, Tally]:
        values, right = model.logprobs(pack)
        answers = values.split(pack.learnt)
        tally = Tally(right=float(right.sum()), learnt=len(pack.labels))
        loss = values.new_zeros(())
        for pair, number in enumerate(pack.numbers[::2]):
            preferred, rejected = self._reference[number]
            liked = answers[2 * pair].sum() - preferred
            disliked = answers[2 * pair + 1].sum() - rejected
            margin = self._beta * (liked - disliked)
            loss = loss - functional.logsigmoid(margin)
            tally.margin += margin.item()
            tally.wins += margin.item() > 0
        tally.pairs = tally.weight = len(pack.numbers) / 2
        tally.loss = loss.item()
        return loss, tally
