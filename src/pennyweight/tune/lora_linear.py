"""A linear layer with an adapter, for PEFT: one forward and one backward function instead of eleven.

PEFT's own layer writes the adapter's part, its scaled copy and the sum to memory one after the other; here
products are accumulated where they are needed, and nothing is computed for inputs that need no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners import lora
from torch.nn import functional


class LoraLinear(lora.Linear):
    """`x W' + b + scale (x down') up'`, computed in the type of `x`; `W` and `b` never change."""

    def forward(self, x: Any, *_: Any, **__: Any) -> Any:
        base = self.get_base_layer()
        if self.disable_adapters:
            return functional.linear(x, base.weight, base.bias)
        (name,) = self.active_adapters
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        return _LowRank.apply(x, base.weight, base.bias, down.to(x.dtype), up.to(x.dtype), self.scaling[name])


class _LowRank(torch.autograd.Function):
    """Shapes: `x` `[..., I]`, `weight` `[O, I]`, `bias` `[O]` or None, `down` `[R, I]`, `up` `[O, R]`."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, down: Any, up: Any, scale: float) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        inner = rows @ down.t()
        y = functional.linear(rows, weight, bias).addmm_(inner, up.t(), alpha=scale)
        ctx.save_for_backward(rows, inner, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        rows, inner, weight, down, up = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_up = ctx.scale * (grad.t() @ inner)
        grad_inner = ctx.scale * (grad @ up)
        grad_down = grad_inner.t() @ rows
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight).addmm_(grad_inner, down).view(ctx.shape)
        return grad_x, None, None, grad_down, grad_up, None
