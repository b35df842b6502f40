"""Teacher and student in one process: steps of the student towards the teacher's distribution."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch

from examples.half_depth.divergence import Agreement, divergence
from examples.half_depth.rounding import rounded
from pennyweight.tune.base_model import load_base
from pennyweight.tune.checkpoint import Checkpoints
from pennyweight.tune.packing import packs_of
from pennyweight.tune.precision import chosen_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pennyweight.models.spec import ModelSpec
    from pennyweight.tune.checkpoint import Progress
    from pennyweight.tune.group import Group

_WARMUP: Final = 0.06
_LARGEST_NORM: Final = 1.0
_STEPS_KEPT: Final = 50  # between checkpoints, which are large


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How much is read, and how fast it is learnt. `rate` is the highest of the schedule."""

    tokens: int
    step_tokens: int
    rate: float
    seed: int
    rounded_from: float = 1.0  # share of the steps after which weights are rounded to four bits as they learn

    def steps(self, groups: Sequence[Group]) -> list[list[Group]]:
        """What each step reads: all documents once in an order of the seed, then again in another."""
        chance, left = random.Random(self.seed), self.tokens
        steps: list[list[Group]] = [[]]
        while left > 0:
            for group in chance.sample(groups, len(groups)):
                if sum(one.num_tokens for one in steps[-1]) + group.num_tokens > self.step_tokens:
                    steps.append([])
                steps[-1].append(group)
                left -= group.num_tokens
                if left <= 0:
                    break
        return steps

    def rate_at(self, step: int, steps: int) -> float:
        """Up in a straight line, then down to a tenth."""
        warmup = max(1, round(_WARMUP * steps))
        if step <= warmup:
            return self.rate * step / warmup
        return self.rate * (0.1 + 0.9 * (steps - step) / max(1, steps - warmup))


class Lesson:
    """The matrices of the student's layers are trained, in float32; embedding, head and norms are not."""

    def __init__(self, teacher: Path, student: Path) -> None:
        self._dtype = chosen_dtype("auto")
        self._teacher = load_base(teacher, context=None, weights=None, dtype=self._dtype)
        self.student = load_base(student, context=None, weights=None, dtype=self._dtype)
        self._parameters = {}
        for name, value in self.student.decoder.layers.named_parameters():
            if value.dim() == 2:
                value.data = value.data.float()
                value.requires_grad_(True)
                self._parameters[name] = value
        self._optimiser = torch.optim.AdamW(
            list(self._parameters.values()), lr=0.0, weight_decay=0.0, fused=True
        )

    @property
    def teacher_spec(self) -> ModelSpec:
        return self._teacher.spec

    def measure(self, groups: Sequence[Group], *, pack_tokens: int) -> Agreement:
        """How close the student is now."""
        whole = Agreement()
        with torch.no_grad():
            for pack in packs_of(groups, pack_tokens=pack_tokens):
                whole.add(self._divergence(pack)[1])
        return whole

    def run(
        self, course: Course, groups: Sequence[Group], folder: Path, told: Callable[[str], None]
    ) -> Progress:
        """To the end of the course; interrupted, it goes on from the last checkpoint in `folder`."""
        steps = course.steps(groups)
        checkpoints = Checkpoints(folder, identity=f"{course} of {len(groups)} documents")
        progress = checkpoints.resume(self._parameters, self._optimiser)
        began, before, cpu_before = time.monotonic(), progress.seconds, progress.cpu_s
        cpu_began = time.process_time()
        while progress.step < len(steps):
            is_rounded = progress.step >= course.rounded_from * len(steps)
            with rounded(self._parameters.values()) if is_rounded else nullcontext():
                seen = self._gradients(steps[progress.step], course)
            self._update(course.rate_at(progress.step + 1, len(steps)))
            progress.step += 1
            progress.trained_tokens += sum(group.num_tokens for group in steps[progress.step - 1])
            progress.seconds = before + time.monotonic() - began
            progress.cpu_s = cpu_before + time.process_time() - cpu_began
            progress.rows.append({"step": progress.step, "kl": seen.kl / seen.positions})
            if progress.step % _STEPS_KEPT == 0 or progress.step == len(steps):
                self._keep(checkpoints, progress)
                last = progress.rows[-_STEPS_KEPT:]
                mean = sum(row["kl"] for row in last) / len(last)
                told(
                    f"step {progress.step} of {len(steps)}: KL {mean:.3f}, {progress.seconds / 60:.1f} min, "
                    f"{progress.trained_tokens / progress.seconds:.0f} tokens/s"
                )
        return progress

    def _gradients(self, groups: Sequence[Group], course: Course) -> Agreement:
        whole = Agreement()
        total = sum(group.num_learnt for group in groups)
        for pack in packs_of(groups, pack_tokens=course.step_tokens):
            loss, seen = self._divergence(pack)
            (loss / total).backward()
            whole.add(seen)
        return whole

    def _update(self, rate: float) -> None:
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), _LARGEST_NORM)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def _keep(self, checkpoints: Checkpoints, progress: Progress) -> None:
        checkpoints.write(
            progress,
            parameters=self._parameters,
            optimiser=self._optimiser,
            write_adapter=lambda _: None,
            epoch_end=False,
        )

    def _divergence(self, pack: Any) -> tuple[Any, Agreement]:
        with torch.no_grad():
            wanted = self._teacher.states(pack)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._dtype == torch.bfloat16):
            own = self.student.states(pack)
        return divergence(own, wanted, pack.labels, heads=(self.student.head, self._teacher.head))
