"""`adapter_config.json`: rank and scale of each module; whatever would compute something else is refused.

Keys as PEFT's `LoraConfig` has them (https://huggingface.co/docs/peft/package_reference/lora). A key of which
nothing is known may be there as long as it is off.
"""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass
from math import isfinite, sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.files import CONFIG_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.adapter.files import AdapterFiles

T = TypeVar("T", int, float)

MAX_RANK: Final = 256
_MAX_PATTERNS: Final = 10_000
_LARGEST_ALPHA: Final = 1e6
_PLAIN: Final = re.compile(r"\^?[A-Za-z0-9_]+(?:\\?\.[A-Za-z0-9_]+)*\$?")
"""A pattern that names a module or its end: what PEFT writes. Others could take for ever to match."""
_INERT: Final = frozenset(
    {
        *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "pennyweight"),
        *("inference_mode", "lora_dropout", "target_modules", "exclude_modules", "layers_to_transform"),
        *("layers_pattern", "loftq_config", "eva_config", "corda_config", "lora_ga_config"),
        *("megatron_config", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
        *("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"),  # read below
    }
)
_SAME_BASE: Final = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin that leave the base model as it is; others (PiSSA, OLoRA) need one that was changed."""
_LACKING: Final = MappingProxyType(
    {
        "use_dora": "DoRA",
        "bias": "trained biases",
        "lora_bias": "trained biases",
        "modules_to_save": "whole modules beside the low-rank ones",
        "fan_in_fan_out": "transposed weights",
        "trainable_token_indices": "trained embeddings",
        "target_parameters": "parameters that are no linear layer",
        "layer_replication": "repeated layers",
        "use_qalora": "QALoRA",
        "alora_invocation_tokens": "activated LoRA",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """`ranks` and `alphas` hold for the modules that their names match, `rank` and `alpha` for others."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    rank_stabilised: bool  # alpha / sqrt(rank) (Kalajdzievski 2023) instead of alpha / rank

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> AdapterConfig:
        """Raises ModelFileError naming the key that is wrong, or that asks for other arithmetic."""
        kind = config.get("peft_type")
        if kind != "LORA":
            raise _fail("peft_type", kind, "LORA: this engine computes no other kind of adapter")
        if config.get("init_lora_weights") not in _SAME_BASE:
            how = reprlib.repr(config["init_lora_weights"])
            raise ModelFileError(
                f"{CONFIG_FILE}: init_lora_weights is {how}, which changes the base model; "
                "convert the adapter to a plain LoRA"
            )
        for key, value in config.items():
            _check_off(key, value)
        return cls(
            rank=_rank("r", config.get("r")),
            alpha=_alpha("lora_alpha", config.get("lora_alpha")),
            ranks={name: _rank("rank_pattern", value) for name, value in _patterns(config, "rank_pattern")},
            alphas={
                name: _alpha("alpha_pattern", value) for name, value in _patterns(config, "alpha_pattern")
            },
            rank_stabilised=_flag("use_rslora", config.get("use_rslora")),
        )

    def rank_of(self, module: str) -> int:
        """The rank of a module such as `model.layers.0.self_attn.q_proj`."""
        return _of_module(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What the product of its two matrices is multiplied by."""
        rank = self.rank_of(module)
        return _of_module(self.alphas, module, self.alpha) / (sqrt(rank) if self.rank_stabilised else rank)


def check_config(files: AdapterFiles) -> None:
    """Raise ModelFileError naming the adapter if its configuration asks for what is not computed here."""
    try:
        AdapterConfig.read(files.config)
    except ModelFileError as error:
        raise ModelFileError(f"the adapter {files.name}: {error.message}") from error


def _check_off(key: str, value: object) -> None:
    """Raise ModelFileError for a key that is on and means something else than LoRA of linear layers."""
    is_off = value is None or value is False or value in ({}, [], "none")
    if is_off or key in _INERT or key in ("peft_type", "init_lora_weights"):
        return
    what = _LACKING.get(key, "which this engine does not know")
    needs = f"{what} are not computed here" if key in _LACKING else what
    raise ModelFileError(
        f"{CONFIG_FILE}: {key} is {reprlib.repr(value)}: {needs}; train a plain LoRA of linear layers"
    )


def _patterns(config: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    table = config.get(key) or {}
    if not isinstance(table, dict) or len(table) > _MAX_PATTERNS:
        raise _fail(key, table, f"a table of at most {_MAX_PATTERNS} modules")
    for name in table:
        if not _PLAIN.fullmatch(name):
            raise _fail(key, name, "names of modules, without other regular expressions")
    return list(table.items())


def _of_module(table: Mapping[str, T], module: str, default: T) -> T:
    """As PEFT does: the first pattern that is the module's name, or its end behind a dot."""
    for pattern, value in table.items():
        name = pattern.removesuffix("$").replace("\\.", ".")
        if module == name.removeprefix("^") or (not name.startswith("^") and module.endswith(f".{name}")):
            return value
    return default


def _rank(key: str, value: object) -> int:
    if type(value) is not int or not 1 <= value <= MAX_RANK:
        raise _fail(key, value, f"a rank from 1 to {MAX_RANK}")
    return value


def _alpha(key: str, value: object) -> float:
    if type(value) not in (int, float) or not isfinite(value) or not abs(value) <= _LARGEST_ALPHA:  # type: ignore[arg-type]
        raise _fail(key, value, f"a number up to {_LARGEST_ALPHA:g}")
    return float(value)  # type: ignore[arg-type]


def _flag(key: str, value: object) -> bool:
    if value not in (None, True, False):
        raise _fail(key, value, "true or false")
    return value is True


def _fail(key: str, value: object, expected: str) -> ModelFileError:
    shown = "missing" if value is None else reprlib.repr(value)
    return ModelFileError(f"{CONFIG_FILE}: {key} is {shown}; expected {expected}")
