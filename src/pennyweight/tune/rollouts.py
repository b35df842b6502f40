"""Answers of the model as it is at a step, sampled by Pennyweight's own engine in the trainer's process.

The engine writes many answers side by side, several times as fast as the trainer's arithmetic could, from the
same file: after every update it is given the adapter. Its rounding differs a little from the trainer's, which
`logprob_gap` tells. Engine and trainer take turns on the cores.

What is sampled follows from the plan's seed, the step, the prompt and the answer's place in its group alone,
whatever is sampled beside it, so that a training that was resumed draws the same.
"""

from __future__ import annotations

import hashlib
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Final, Self

from pennyweight.answers.conversation import Completion
from pennyweight.answers.events import Finished, TextDelta
from pennyweight.answers.options import Options
from pennyweight.api import Engine
from pennyweight.core import SamplingParams
from pennyweight.tune.durable import new_folder
from pennyweight.tune.export import write_adapter
from pennyweight.tune.failure import StoppedError
from pennyweight.tune.grpo import Rollout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pennyweight.answers.events import TokenDetail
    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.group import Group
    from pennyweight.tune.preparation import Preparation
    from pennyweight.tune.protocol import Stop

_POLICY: Final = "policy"
_STREAMS: Final = 64  # that the engine runs at once
_LOOK_S: Final = 0.2


class Rollouts:
    """The engine over the model that is tuned. `folder` gets the adapter as it is at a step; close it."""

    def __init__(self, prepared: Preparation, model: AdaptedModel, folder: Path, stop: Stop) -> None:
        plan, numbers = prepared.plan, prepared.numbers
        self._model = model
        self._folder = folder
        self._stop = stop
        self._seed = plan.seed
        self._group_size = numbers.group_size
        self._most = numbers.max_answer_tokens
        longest = max(group.num_tokens for group in prepared.all_groups) + self._most
        streams = min(_STREAMS, numbers.batch_size * numbers.group_size)
        self._engine = Engine.open(
            plan.model,
            context=min(longest, prepared.spec.context_length),
            parallel=streams,
            threads=plan.threads or None,
            weights=plan.weights,
        )

    def answers(self, step: int, prompts: Sequence[Group]) -> list[list[Rollout]]:
        """A group of answers to each prompt. StoppedError if somebody asks to stop meanwhile."""
        self._hand_over()
        at_once = max(1, 2 * _STREAMS // self._group_size)  # prompts, so that none is waited for
        with ThreadPool(min(at_once, len(prompts))) as pool:
            asked = pool.map_async(partial(self._sampled, step), prompts, chunksize=1)
            while not asked.ready():
                asked.wait(_LOOK_S)
                if self._stop.is_set:
                    self._engine.close()  # ends what is still being written
                    raise StoppedError("in the middle of sampling, which is not kept")
            return asked.get()

    def _hand_over(self) -> None:
        """The engine answers with the adapter as it is now."""
        with new_folder(self._folder) as folder:
            write_adapter(self._model, folder, card="")
        if _POLICY in self._engine.adapter_names:
            self._engine.remove_adapter(_POLICY)
        self._engine.add_adapter(_POLICY, self._folder)

    def _sampled(self, step: int, prompt: Group) -> list[Rollout]:
        (sequence,) = prompt.sequences
        drawn = hashlib.blake2b(f"{self._seed} {step} {prompt.number}".encode(), digest_size=8).digest()
        sampling = SamplingParams(seed=int.from_bytes(drawn, "little"), max_tokens=self._most, top_logprobs=0)
        options = Options(sampling=sampling, num_choices=self._group_size)
        answers = [_Answer() for _ in range(self._group_size)]
        for event in self._engine.events(Completion(prompt=sequence.tokens), options, model=_POLICY):
            if isinstance(event, TextDelta):
                answers[event.choice].add(event.text, event.details)
            elif isinstance(event, Finished) and event.end is not None:
                answers[event.choice].add("", (event.end,))
        return [answer.rollout() for answer in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()


class _Answer:
    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[float] = []

    def add(self, text: str, details: Sequence[TokenDetail]) -> None:
        self._texts.append(text)
        for detail in details:
            assert detail.token is not None, "the engine is in this process"
            self._tokens.append(detail.token)
            self._logprobs.append(detail.logprob)

    def rollout(self) -> Rollout:
        return Rollout(tuple(self._tokens), tuple(self._logprobs), "".join(self._texts))
