"""Log-probabilities of learnt tokens from final states: the head, the softmax and their gradient in one.

Logits of a chunk of positions at a time: all of them at once would be the largest tensor of the training. The
head is frozen, so a position's gradient depends on that position alone and is found in the forward pass,
where its logits are; the backward pass multiplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from pennyweight.models.spec import ModelSpec

_CHUNK: Final = 128  # positions whose logits are in memory at once


def logprobs(states: Any, labels: Any, head: Any, spec: ModelSpec) -> tuple[Any, Any]:
    """Of `states` `[N, D]`: the natural log-probability `[N]` (float32) of each of `labels` `[N]`, and
    whether it is the likeliest token. `head` is `[V, D]`.
    """
    values, right = _Logprobs.apply(states, labels, head, spec.logit_scale, spec.logit_softcap)
    return values, right


class _Logprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Any, labels: Any, head: Any, scale: float, cap: float) -> Any:
        wanted = states.requires_grad
        values = torch.empty(len(states), dtype=torch.float32)
        right = torch.empty(len(states), dtype=torch.bool)
        slopes = torch.empty_like(states) if wanted else None
        for start in range(0, len(states), _CHUNK):
            part = slice(start, start + _CHUNK)
            logits = (states[part] @ head.t()).float()
            if scale != 1.0:
                logits.mul_(scale)
            if cap:
                logits.div_(cap).tanh_()
                bent = 1 - logits.square()
                logits.mul_(cap)
            own = labels[part, None]
            chosen = logits.gather(1, own)
            top, likeliest = logits.max(dim=1, keepdim=True)
            total = logits.sub_(top).exp_().sum(dim=1, keepdim=True)
            right[part] = (likeliest == own)[:, 0]
            values[part] = (chosen - top - total.log())[:, 0]
            if slopes is not None:
                slope = logits.div_(total.neg_())  # -softmax, to which the label adds one
                slope.scatter_add_(1, own, torch.ones_like(chosen))
                if cap:
                    slope.mul_(bent)
                slopes[part] = slope.mul_(scale).to(head.dtype) @ head
        ctx.mark_non_differentiable(right)
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return values, right

    @staticmethod
    def backward(ctx: Any, grad: Any, _: Any) -> Any:
        (slopes,) = ctx.saved_tensors
        return slopes * grad[:, None].to(slopes.dtype), None, None, None, None
