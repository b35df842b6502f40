"""The training loop: steps, validation between them, checkpoints by the clock and at ends of epochs.

With the same number of threads the same plan gives the same bits, however often it was stopped between.
"""

from __future__ import annotations

import math
import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final

import torch

from pennyweight.tune.failure import StoppedError, TuningError
from pennyweight.tune.order import Order
from pennyweight.tune.packing import packs_of
from pennyweight.tune.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.checkpoint import Checkpoints, Progress
    from pennyweight.tune.group import Group
    from pennyweight.tune.journal import Journal
    from pennyweight.tune.objective import Objective
    from pennyweight.tune.preparation import Preparation
    from pennyweight.tune.processes import Processes
    from pennyweight.tune.protocol import Stop

_LARGEST_NORM: Final = 1.0  # of all gradients as one vector
_VALIDATIONS: Final = 100  # on a batch of the validation file, over a whole training


class Trainer:
    """Trains `model` in place; `progress` is where it stands."""

    def __init__(
        self,
        prepared: Preparation,
        model: AdaptedModel,
        objective: Objective,
        *,
        checkpoints: Checkpoints,
        write_adapter: Callable[[Path, Progress], None],
        journal: Journal,
        processes: Processes,
        stop: Stop,
    ) -> None:
        self._prepared = prepared
        self._model = model
        self._objective = objective
        self._checkpoints = checkpoints
        self._write_adapter = write_adapter
        self._journal = journal
        self._processes = processes
        self._stop = stop
        self._parameters = model.parameters
        self._optimiser = torch.optim.AdamW(
            list(self._parameters.values()), lr=0.0, weight_decay=0.0, fused=True
        )
        self.progress = checkpoints.resume(self._parameters, self._optimiser)
        self._begin = _Clock(self.progress)
        plan, numbers = prepared.plan, prepared.numbers
        self._order = Order(prepared.training.groups, batch_size=numbers.batch_size, seed=plan.seed)
        validation = prepared.validation
        self._validation = (
            None
            if validation is None
            else Order(validation.groups, batch_size=numbers.batch_size, seed=plan.seed)
        )

    def run(self) -> Progress:
        """To the end. StoppedError, behind a checkpoint, when asked; TuningError if it cannot go on."""
        numbers, progress = self._prepared.numbers, self.progress
        saved, saved_at = progress.step, time.monotonic()
        while progress.step < numbers.num_steps:
            step = progress.step + 1
            try:
                tally, stop = self._step(step)
            except StoppedError:
                tally, stop = None, True
            if tally is not None:
                self._tell(step, tally)
            epoch_end = progress.step % numbers.steps_per_epoch == 0
            due = time.monotonic() - saved_at >= self._prepared.plan.checkpoint_s
            if progress.step > saved and (epoch_end or due or stop):
                self._save(epoch_end=epoch_end)
                saved, saved_at = progress.step, time.monotonic()
            if stop:
                raise StoppedError(f"stopped after step {progress.step}")
        return progress

    def _step(self, step: int) -> tuple[Tally, bool]:
        """One step of the optimiser; what it saw, and whether to stop behind it."""
        groups, tally = self._objective.lessons(step, self._order.groups(step))
        self._gradients(groups, tally)
        self._processes.add_gradients(self._parameters.values())
        *sums, stop = self._processes.add([*astuple(tally), float(self._stop.is_set)])
        tally = Tally(*sums)
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters.values(), _LARGEST_NORM))
        self._require_finite(step, tally.mean_loss, "loss")
        self._require_finite(step, norm, "gradient")
        for group in self._optimiser.param_groups:
            group["lr"] = self._prepared.numbers.rate(step)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.progress.step = step
        self.progress.trained_tokens += sum(group.num_tokens for group in groups)
        return tally, bool(stop)

    def _require_finite(self, step: int, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise TuningError(
                f"the {what} of step {step} is {value}: training has diverged. Try a smaller "
                "learning_rate_multiplier, and look for broken examples.",
                code="nan_loss",
                step=step,
            )

    def _gradients(self, groups: list[Group], tally: Tally) -> None:
        """Left in the parameters; what is seen is added to `tally`."""
        total = self._objective.weight(groups)
        for pack in self._processes.share(self._packs(groups)):
            if self._processes.number == 1 and self._stop.is_set:
                self._optimiser.zero_grad(set_to_none=True)
                raise StoppedError("in the middle of a step, which is not kept")
            loss, part = self._objective.loss(self._model, pack)
            (loss / total).backward()
            tally.add(part)
        if not groups:  # nothing to learn from: the optimiser goes on as its moments say
            for value in self._parameters.values():
                value.grad = torch.zeros_like(value)

    def _evaluate(self, groups: Iterable[Group]) -> Tally:
        tally = Tally()
        with torch.no_grad():
            for pack in self._processes.share(self._packs(groups)):
                tally.add(self._objective.loss(self._model, pack)[1])
        whole = Tally(*self._processes.add(list(astuple(tally))))
        self._require_finite(self.progress.step, whole.mean_loss, "validation loss")
        return whole

    def _packs(self, groups: Iterable[Group]) -> list[Any]:
        return packs_of(groups, pack_tokens=self._prepared.plan.pack_tokens)

    def _tell(self, step: int, tally: Tally) -> None:
        numbers, progress = self._prepared.numbers, self.progress
        metrics = tally.means("train")
        every = max(1, numbers.num_steps // _VALIDATIONS)
        if self._validation is not None and (step % every == 0 or step == numbers.num_steps):
            metrics |= self._evaluate(self._validation.groups(step // every)).means("valid")
        if self._prepared.validation is not None and step % numbers.steps_per_epoch == 0:
            groups = [group for groups in self._prepared.validation.groups for group in groups]
            progress.metrics |= self._evaluate(groups).means("full_valid")
        progress.metrics |= metrics
        progress.rows.append({"step": step, **metrics})
        speed = self._begin.update(progress)
        left = (numbers.num_steps - step) * speed.seconds_per_step
        told = {"tokens": progress.trained_tokens, "tokens_per_s": round(speed.tokens_per_s, 1)}
        self._journal.tell("step", step=step, **metrics, **told, seconds_left=round(left, 1))

    def _save(self, *, epoch_end: bool) -> None:
        progress = self.progress
        if not self._processes.is_first:
            return
        path = self._checkpoints.write(
            progress,
            parameters=self._parameters,
            optimiser=self._optimiser,
            write_adapter=lambda folder: self._write_adapter(folder, progress),
            epoch_end=epoch_end,
        )
        folder = f"{path.parent.name}/{path.name}"
        metrics = progress.metrics if epoch_end else {}
        self._journal.tell(
            "checkpoint", step=progress.step, folder=folder, epoch_end=epoch_end, metrics=metrics
        )


class _Clock:
    """Time and speed since this process began, added to what earlier ones took."""

    def __init__(self, progress: Progress) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._before = (progress.seconds, progress.cpu_s)
        self._step, self._tokens = progress.step, progress.trained_tokens

    def update(self, progress: Progress) -> _Speed:
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        progress.seconds, progress.cpu_s = self._before[0] + wall, self._before[1] + cpu
        steps, tokens = progress.step - self._step, progress.trained_tokens - self._tokens
        return _Speed(tokens / wall, wall / steps)


class _Speed:
    def __init__(self, tokens_per_s: float, seconds_per_step: float) -> None:
        self.tokens_per_s = tokens_per_s
        self.seconds_per_step = seconds_per_step
