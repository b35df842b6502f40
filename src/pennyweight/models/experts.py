"""A mixture of experts as `expert_*` keys describe it (Jiang et al. 2024, Mixtral of Experts)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.models.spec import ExpertSpec

if TYPE_CHECKING:
    from pennyweight.models.hyperparameters import Hyperparameters

_MAX_EXPERTS: Final = 1024
_SOFTMAX: Final = 1  # of `expert_gating_func`; 0 is "not said"


def read_experts(keys: Hyperparameters, d_ff: int) -> ExpertSpec | None:
    """The experts, each `d_ff` wide unless a key says otherwise; None where the model has none."""
    count = keys.integer("expert_count", default=0, low=0, high=_MAX_EXPERTS)
    if count == 0:
        keys.only("expert_used_count", 0)
        return None
    keys.only("expert_gating_func", 0, _SOFTMAX)
    keys.only("expert_shared_count", 0)
    keys.only("expert_shared_feed_forward_length", 0)
    normalize = keys.take("expert_weights_norm")
    if normalize not in (None, True, False):
        raise keys.fail("expert_weights_norm", normalize, "true or false")
    return ExpertSpec(
        count=count,
        used=keys.integer("expert_used_count", high=count),
        d_ff=keys.integer("expert_feed_forward_length", default=d_ff),
        # Files seldom say; both families that have experts are published with weights that add up to 1.
        normalize=normalize is None or bool(normalize),
        scale=keys.number("expert_weights_scale", default=1.0, low=0.0, high=1e3) or 1.0,  # 0: not said
    )
