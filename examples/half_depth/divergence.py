"""KL(teacher || student) at every position, from final states to gradient, without all logits at once.

Both heads are frozen, so a position's gradient depends on that position alone: it is found in the forward
pass, a chunk of positions at a time, and the backward pass multiplies.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import exp
from typing import Any, Final

import torch

_CHUNK: Final = 128  # positions whose logits are in memory at once


@dataclass(slots=True)
class Agreement:
    """Sums over positions: divergence, -log of what each gives the text's own token, equal favourites."""

    kl: float = 0.0
    student: float = 0.0
    teacher: float = 0.0
    same: float = 0.0
    positions: int = 0

    def add(self, other: Agreement) -> None:
        sums = (one + more for one, more in zip(astuple(self), astuple(other), strict=True))
        self.kl, self.student, self.teacher, self.same, self.positions = sums

    def told(self) -> dict[str, float]:
        """Means; KL in nats per token."""
        return {
            "kl": round(self.kl / self.positions, 4),
            "perplexity": round(exp(self.student / self.positions), 2),
            "teacher_perplexity": round(exp(self.teacher / self.positions), 2),
            "top1": round(self.same / self.positions, 4),
            "tokens": self.positions,
        }


def divergence(student: Any, teacher: Any, labels: Any, *, heads: tuple[Any, Any]) -> tuple[Any, Agreement]:
    """The sum over positions, with its gradient, and what it consists of.

    `student` and `teacher` are final states `[N, D]`, `labels` `[N]` the tokens that follow, `heads` `[V, D]`
    those of the two.
    """
    seen = Agreement()
    return _Divergence.apply(student, teacher, labels, *heads, seen), seen


class _Divergence(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(
        ctx: Any, student: Any, teacher: Any, labels: Any, head: Any, teachers_head: Any, seen: Agreement
    ) -> Any:
        slopes = torch.empty_like(student) if ctx.needs_input_grad[0] else None
        for start in range(0, len(labels), _CHUNK):
            part = slice(start, start + _CHUNK)
            own = (student[part].to(head.dtype) @ head.t()).float().log_softmax(dim=1)
            wanted = (teacher[part].to(teachers_head.dtype) @ teachers_head.t()).float().log_softmax(dim=1)
            chosen = labels[part, None]
            seen.student -= own.gather(1, chosen).sum().item()
            seen.teacher -= wanted.gather(1, chosen).sum().item()
            seen.same += (own.argmax(dim=1) == wanted.argmax(dim=1)).sum().item()
            share = wanted.exp()
            seen.kl += (share * (wanted - own)).sum().item()
            if slopes is not None:
                slopes[part] = (own.exp_().sub_(share).to(head.dtype) @ head).to(slopes.dtype)
        seen.positions = len(labels)
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return student.new_tensor(seen.kl, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (slopes,) = ctx.saved_tensors
        return slopes * grad, None, None, None, None, None
