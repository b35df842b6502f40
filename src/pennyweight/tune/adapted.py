"""A base model with a LoRA adapter on every linear layer of its blocks (Hu et al. 2021), made by PEFT."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import peft
import torch

from pennyweight.tune.logprobs import logprobs
from pennyweight.tune.lora_linear import LoraLinear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.tune.base_model import BaseModel
    from pennyweight.tune.packing import Pack

_SEPARATE: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FUSED: Final = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


class AdaptedModel:
    """The network is changed in place: its linear layers become PEFT's. Only the adapter is trained."""

    def __init__(self, base: BaseModel, *, rank: int, alpha: int, seed: int) -> None:
        self.base = base
        self.config = peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=rank,
            lora_alpha=alpha,
            lora_dropout=0.0,
            bias="none",
            target_modules=list(_FUSED if base.spec.architecture == "phi3" else _SEPARATE),
        )
        self.config._register_custom_module({torch.nn.Linear: LoraLinear})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            peft.inject_adapter_in_model(self.config, base.network)
        modules = base.network.named_modules()
        self._layers = {name: module for name, module in modules if isinstance(module, LoraLinear)}
        for layer in self._layers.values():  # PEFT gives them the base's type, which holds no small steps
            layer.lora_A.float()
            layer.lora_B.float()

    @property
    def parameters(self) -> dict[str, Any]:
        """What is trained, float32, by the names of PEFT's files."""
        named = {}
        for name, layer in self._layers.items():
            for part, values in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
                named[f"base_model.model.{name}.{part}.weight"] = values["default"].weight
        return named

    def logprobs(self, pack: Pack) -> tuple[Any, Any]:
        """Log-probability of each label of the pack, and whether it is the likeliest token."""
        base = self.base
        return logprobs(base.states(pack), pack.labels, base.head, base.spec)

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Inside it the model is the base."""
        self._enable(False)
        try:
            yield
        finally:
            self._enable(True)

    def _enable(self, enabled: bool) -> None:
        for layer in self._layers.values():
            layer.enable_adapters(enabled)
