"""RMSNorm with a weight that is not trained: two passes over the data where PyTorch's parts take eight."""

from __future__ import annotations

from typing import Any

import torch


class RMSNorm(torch.nn.Module):
    """`x / sqrt(mean(x^2) + eps) * weight` in float32 (Zhang and Sennrich 2019), as the type of `x`."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(size), requires_grad=False)
        self._eps = eps

    def forward(self, x: Any) -> Any:
        return _Normed.apply(x, self.weight, self._eps)


class _Normed(torch.autograd.Function):
    """With `y = x r`: the gradient of `x` is `r (g w - y mean(g w y))`."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, eps: float) -> Any:
        values = x.to(torch.float32, copy=True)
        inverse = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return values.mul_(inverse).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, weight, inverse = ctx.saved_tensors
        normed = x.to(torch.float32, copy=True).mul_(inverse)
        weighted = grad.to(torch.float32, copy=True).mul_(weight)
        along = (weighted * normed).mean(dim=-1, keepdim=True)
        return weighted.sub_(normed.mul_(along)).mul_(inverse).to(x.dtype), None, None
