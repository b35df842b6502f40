"""What to train, on what and how: `plan.json` of a work folder, checked before anything is read.

Whoever starts a trainer writes it (`TuningPlan.as_json`); the trainer reads it. An unknown key is refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.answers.fields import Integer, Number, OneOf, Text
from pennyweight.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.fields import Kind
    from pennyweight.models.rounded import WeightType

Auto = Literal["auto"]
Method = Literal["supervised", "dpo", "grpo"]
Precision = Literal["auto", "float32", "bfloat16"]

METHODS: Final = ("supervised", "dpo", "grpo")
MAX_RANK: Final = 256
MAX_GROUP: Final = 64
PLAN_FILE: Final = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPlan:
    """`"auto"` is chosen by `hyperparameters` from the number of examples; None asks for nothing.

    `model` is a GGUF file or a folder of `transformers`, `weights` the type its floats are rounded to where
    they serve. `max_tokens` is the most that may be trained, `context` the longest example (None: the
    model's), `threads` 0 all physical cores, `checkpoint_s` the seconds between checkpoints,
    `pack_tokens` how many tokens are computed at once, `dollars_per_hour` what the machine costs.

    Of grpo: `group_size` answers to a prompt, of `max_answer_tokens` at most, judged by `reward_command`,
    which runs in `reward_folder` (None: where the trainer runs).
    """

    model: Path
    training_file: Path
    method: Method = "supervised"
    validation_file: Path | None = None
    n_epochs: int | Auto = "auto"
    batch_size: int | Auto = "auto"
    learning_rate_multiplier: float | Auto = "auto"
    beta: float | Auto = "auto"
    seed: int = 0
    lora_rank: int = 16
    lora_alpha: int = 32
    threads: int = 0
    max_tokens: int | None = None
    context: int | None = None
    checkpoint_s: float = 60.0
    weights: WeightType | None = None
    precision: Precision = "auto"
    pack_tokens: int = 2048
    dollars_per_hour: float | None = None
    group_size: int | Auto = "auto"
    max_answer_tokens: int | Auto = "auto"
    reward_command: str | None = None
    reward_folder: Path | None = None

    def as_json(self) -> dict[str, Any]:
        """What `plan.json` holds."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


_NUMBERS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "n_epochs": Integer(low=1, high=1000),
        "batch_size": Integer(low=1, high=4096),
        "learning_rate_multiplier": Number(low=1e-6, high=1e4),
        "beta": Number(low=1e-4, high=2.0),
        "seed": Integer(low=0),
        "lora_rank": Integer(low=1, high=MAX_RANK),
        "lora_alpha": Integer(low=1, high=65536),
        "threads": Integer(low=0, high=1024),
        "max_tokens": Integer(low=0, high=2**62),
        "context": Integer(low=1),
        "checkpoint_s": Number(low=0, high=1e6),
        "pack_tokens": Integer(low=1, high=2**20),
        "dollars_per_hour": Number(low=0, high=1e6),
        "group_size": Integer(low=2, high=MAX_GROUP),
        "max_answer_tokens": Integer(low=1, high=2**20),
        "reward_command": Text(empty=False),
        "method": OneOf(METHODS),
        "precision": OneOf(("auto", "float32", "bfloat16")),
        "weights": OneOf(("q8_0", "q4_0", "q4_1")),
    }
)
_PATHS: Final = frozenset({"model", "training_file", "validation_file", "reward_folder"})
_MAY_BE_AUTO: Final = frozenset(
    {"n_epochs", "batch_size", "learning_rate_multiplier", "beta", "group_size", "max_answer_tokens"}
)
_MAY_BE_NONE: Final = frozenset(
    {
        "validation_file",
        "max_tokens",
        "context",
        "weights",
        "dollars_per_hour",
        "reward_command",
        "reward_folder",
    }
)
_REQUIRED: Final = ("model", "training_file")


def read_plan(folder: Path) -> TuningPlan:
    """The plan of a work folder; paths in it may be relative to the folder. Raises ConfigError."""
    path = folder / PLAN_FILE
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; a work folder holds a plan") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"{path} holds no JSON object")
    return plan_of(told, base=folder)


def plan_of(told: Mapping[str, Any], *, base: Path) -> TuningPlan:
    """The plan that `told` describes, its paths seen from `base`. ConfigError names what is wrong."""
    known = [field.name for field in fields(TuningPlan)]
    if unknown := sorted(set(told) - set(known)):
        raise ConfigError(
            f"the plan has the unknown keys {', '.join(unknown)}; it may have {', '.join(known)}"
        )
    if lacking := [name for name in _REQUIRED if told.get(name) is None]:
        raise ConfigError(f"the plan lacks {', '.join(lacking)}")
    try:
        plan = TuningPlan(**{key: _value(key, value, base) for key, value in told.items()})
    except InvalidRequestError as error:
        raise ConfigError(f"the plan cannot be followed: {error.message}") from error
    if plan.method == "grpo":
        _check_reward(plan)
    return plan


def _check_reward(plan: TuningPlan) -> None:
    if plan.reward_command is None:
        raise ConfigError("the plan lacks reward_command: grpo learns from what a program says of answers")
    if plan.validation_file is not None:
        raise ConfigError(
            "grpo reads no validation_file: ask the model before and after with prompts that were held out"
        )


def _value(key: str, value: object, base: Path) -> Any:
    if value is None and key in _MAY_BE_NONE:
        return None
    if value == "auto" and key in _MAY_BE_AUTO:
        return value
    if key in _PATHS:
        return base / Text(empty=False).read(value, key)
    return _NUMBERS[key].read(value, key)
