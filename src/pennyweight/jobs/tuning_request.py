"""The body of `POST /v1/fine_tuning/jobs`: fields are honoured or refused by name.

(https://platform.openai.com/docs/api-reference/fine-tuning/create.) The older top-level `hyperparameters` are
those of the method `supervised`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.chat_fields import METADATA
from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import (
    Field,
    Integer,
    Number,
    OneOf,
    ParameterError,
    Text,
    missing,
    unknown,
    wrong_type,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.fields import Kind
    from pennyweight.store.tuning_job import Method

MAX_SEED: Final = 2**31 - 1
_METHODS: Final[tuple[Method, ...]] = ("supervised", "dpo")
_SUFFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class OrAuto:
    """A number, or `auto`: it is chosen by what the data is."""

    kind: Kind

    def read(self, value: object, param: str) -> Any:
        return value if value == AUTO else self.kind.read(value, param)

    @property
    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": [AUTO]}, self.kind.schema]}


_SUPERVISED: Final[dict[str, Kind]] = {
    "n_epochs": OrAuto(Integer(low=1, high=1000)),
    "batch_size": OrAuto(Integer(low=1, high=4096)),
    "learning_rate_multiplier": OrAuto(Number(low=1e-6, high=1e4)),
}
HYPERPARAMETERS: Final[dict[Method, dict[str, Kind]]] = {
    "supervised": _SUPERVISED,
    "dpo": {**_SUPERVISED, "beta": OrAuto(Number(low=1e-4, high=2))},
    "grpo": {
        **_SUPERVISED,
        "beta": OrAuto(Number(low=1e-4, high=2)),
        "group_size": OrAuto(Integer(low=2, high=64)),
        "max_answer_tokens": OrAuto(Integer(low=1, high=2**20)),
        "reward_command": Text(empty=False),
        "reward_folder": Text(empty=False),
    },
}
"""By method, what may be chosen. `grpo` is for the command line: its reward is a program of the user's."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Those of one method; what is not given is `auto`."""

    method: Method

    def read(self, value: object, param: str) -> dict[str, Any]:
        kinds = HYPERPARAMETERS[self.method]
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        if strange := sorted(set(value) - set(kinds)):
            raise unknown(f"{param}.{strange[0]}", kinds)
        given = {name: item for name, item in value.items() if item is not None}
        chosen = {name: kinds[name].read(item, f"{param}.{name}") for name, item in given.items()}
        return dict.fromkeys(kinds, AUTO) | chosen

    @property
    def schema(self) -> dict[str, Any]:
        properties = {name: kind.schema for name, kind in HYPERPARAMETERS[self.method].items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenMethod:
    """How to train. `hyperparameters` None: not given here."""

    type: Method
    hyperparameters: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class MethodKind:
    """`{"type": "dpo", "dpo": {"hyperparameters": {...}}}`."""

    def read(self, value: object, param: str) -> ChosenMethod:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        if "type" not in value:
            raise missing(f"{param}.type")
        if value["type"] == "reinforcement" or value.get("reinforcement") is not None:
            message = (
                f"'{param}' 'reinforcement' is not supported here; it may be {' or '.join(_METHODS)}. "
                "What a program of yours rewards is learnt by `penny tune --method grpo`."
            )
            raise ParameterError(message, param=param, code="unsupported_value")
        named = OneOf(_METHODS).read(value["type"], f"{param}.type")
        for key, item in value.items():
            if key not in ("type", "reinforcement", *_METHODS):
                raise unknown(f"{param}.{key}", ("type", *_METHODS))
            if key not in ("type", named) and item is not None:
                message = f"'{param}.{key}' does not go with the type '{named}'; leave it out."
                raise ParameterError(message, param=f"{param}.{key}", code="invalid_parameter_combination")
        method: Method = "dpo" if named == "dpo" else "supervised"
        return ChosenMethod(
            type=method, hyperparameters=_nested(value.get(method), f"{param}.{method}", method)
        )

    @property
    def schema(self) -> dict[str, Any]:
        properties: dict[str, Any] = {"type": {"enum": list(_METHODS)}}
        for method in _METHODS:
            own = {"hyperparameters": Hyperparameters(method).schema}
            properties[method] = {"type": "object", "properties": own, "additionalProperties": False}
        return {
            "type": "object",
            "properties": properties,
            "required": ["type"],
            "additionalProperties": False,
        }


def _nested(value: object, param: str, method: Method) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    if strange := sorted(set(value) - {"hyperparameters"}):
        raise unknown(f"{param}.{strange[0]}", ("hyperparameters",))
    given = value.get("hyperparameters")
    return None if given is None else Hyperparameters(method).read(given, f"{param}.hyperparameters")


@dataclass(frozen=True, slots=True)
class Suffix:
    """Part of a name: letters, digits, hyphens and underscores."""

    def read(self, value: object, param: str) -> str:
        text = Text(empty=False).read(value, param)
        if not _SUFFIX.fullmatch(text):
            message = f"'{param}' is {text!r:.80}; it has 1 to 64 letters, digits, '-' and '_'."
            raise ParameterError(message, param=param, code="invalid_value")
        return text

    @property
    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_SUFFIX.pattern}$"}


TUNING_FIELDS: Final = FieldTables(
    honoured=(
        Field(
            name="model",
            kind=Text(empty=False),
            doc="A model that runs here, or an alias of one; the new model is called after it.",
        ),
        Field(
            name="training_file",
            kind=Text(empty=False),
            doc="A file uploaded for the purpose `fine-tune`: JSON Lines, 10 examples at least.",
        ),
        Field(
            name="validation_file",
            kind=Text(empty=False),
            doc="Likewise, never trained on: its loss and accuracy are told.",
        ),
        Field(
            name="method",
            kind=MethodKind(),
            doc="`supervised` (default) or `dpo`, each with `hyperparameters`: `n_epochs`, `batch_size`, "
            "`learning_rate_multiplier`, of `dpo` also `beta`; numbers or `auto`.",
        ),
        Field(
            name="hyperparameters",
            kind=Hyperparameters("supervised"),
            doc="The older place of those of `supervised`.",
        ),
        Field(name="suffix", kind=Suffix(), doc="Part of the new model's name."),
        Field(
            name="seed",
            kind=Integer(low=0, high=MAX_SEED),
            doc="The same seed, data and machine give the same model; chosen and told unless given.",
        ),
        Field(name="metadata", kind=METADATA, doc="Kept and told again."),
    ),
    advisory=(),
    neutral=(
        Neutral(
            name="integrations",
            values=([],),
            reason="nothing is sent elsewhere; read the events and the result file",
        ),
    ),
    required=("model", "training_file"),
)


def read_method(values: Mapping[str, Any]) -> ChosenMethod:
    """How to train, from either place. Raises ParameterError if both are given."""
    chosen: ChosenMethod = values.get("method") or ChosenMethod(type="supervised", hyperparameters=None)
    older = values.get("hyperparameters")
    if older is not None and (chosen.type != "supervised" or chosen.hyperparameters is not None):
        message = "'hyperparameters' does not go with 'method'; put them into the method."
        raise ParameterError(message, param="hyperparameters", code="invalid_parameter_combination")
    given = older if chosen.hyperparameters is None else chosen.hyperparameters
    all_auto = dict.fromkeys(HYPERPARAMETERS[chosen.type], AUTO)
    return ChosenMethod(type=chosen.type, hyperparameters=all_auto if given is None else given)
