"""Everything that is known before training: examples read, checked and encoded, numbers chosen.

No torch here, so that a bad file is refused within seconds. What is wrong is told with its lines, all of it;
an example that is longer than the context is an error, never cut.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import InvalidRequestError
from pennyweight.models.local import model_name
from pennyweight.models.outline import described
from pennyweight.models.source import open_source
from pennyweight.tune.dataset import read_preferences, read_rewarded_prompts, read_supervised
from pennyweight.tune.example import DatasetError, Example, LineError, Preference, RewardedPrompt
from pennyweight.tune.group import Group
from pennyweight.tune.hyperparameters import most_answer_tokens, resolve
from pennyweight.tune.tokens import Renderer, TokenSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pennyweight.models.spec import ModelSpec
    from pennyweight.tune.dataset import Dataset, FileParam
    from pennyweight.tune.hyperparameters import Hyperparameters
    from pennyweight.tune.plan import TuningPlan

_READERS: Final[Mapping[str, Callable[..., Dataset[Any]]]] = MappingProxyType(
    {"supervised": read_supervised, "dpo": read_preferences, "grpo": read_rewarded_prompts}
)
_TOLD_BESIDE: Final = MappingProxyType(
    {"supervised": (), "dpo": ("beta",), "grpo": ("beta", "group_size", "max_answer_tokens")}
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The examples of one file as groups, `groups[i]` those of example `i`, which is `examples[i]`."""

    groups: tuple[tuple[Group, ...], ...]
    sha256: str
    examples: tuple[Example | Preference | RewardedPrompt, ...]

    @property
    def num_tokens(self) -> int:
        return sum(group.num_tokens for groups in self.groups for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """`identity` names what a checkpoint belongs to: the same examples, numbers and model."""

    plan: TuningPlan
    spec: ModelSpec
    training: Encoded
    validation: Encoded | None
    numbers: Hyperparameters
    warnings: tuple[str, ...]

    @property
    def all_groups(self) -> list[Group]:
        """Of both files."""
        files = [self.training] if self.validation is None else [self.training, self.validation]
        return [group for encoded in files for groups in encoded.groups for group in groups]

    @property
    def prompts(self) -> list[RewardedPrompt]:
        """The examples of grpo, with what their judge is told."""
        return [example for example in self.training.examples if isinstance(example, RewardedPrompt)]

    @property
    def planned_tokens(self) -> int:
        """Of grpo the most it can be: answers are as long as they become, and not all are learnt from."""
        numbers, of_epoch = self.numbers, self.training.num_tokens
        if self.plan.method == "grpo":
            of_epoch += numbers.num_examples * numbers.max_answer_tokens
            of_epoch *= numbers.group_size
        return of_epoch * numbers.n_epochs

    @property
    def identity(self) -> str:
        told = self.plan.as_json() | {
            "training_file": self.training.sha256,
            "validation_file": None if self.validation is None else self.validation.sha256,
            "model": self.plan.model.name,
        }
        for free in ("threads", "checkpoint_s", "max_tokens", "dollars_per_hour"):
            del told[free]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The event `validated`."""
        numbers = self.numbers
        told: dict[str, Any] = {
            "num_examples": len(self.training.groups),
            "num_validation_examples": 0 if self.validation is None else len(self.validation.groups),
            "num_tokens": self.training.num_tokens,
            "n_epochs": numbers.n_epochs,
            "batch_size": numbers.batch_size,
            "learning_rate_multiplier": numbers.learning_rate_multiplier,
            "num_steps": numbers.num_steps,
            "planned_tokens": self.planned_tokens,
            "warnings": list(self.warnings),
        }
        return told | {name: getattr(numbers, name) for name in _TOLD_BESIDE[self.plan.method]}


def prepare(plan: TuningPlan) -> Preparation:
    """Raises DatasetError for the files, ModelFileError or InvalidRequestError for the model."""
    with open_source(plan.model, weights=plan.weights) as source:
        spec, _ = described(source, plan.context)
        metadata: Mapping[str, Any] = source.metadata
    encoder = _Encoder(
        Renderer.from_metadata(metadata, model_name=model_name(plan.model)),
        plan,
        min(plan.context or spec.context_length, spec.context_length),
    )
    training = encoder.read(plan.training_file, "training_file")
    validation = None
    if plan.validation_file is not None:
        validation = encoder.read(plan.validation_file, "validation_file")
    encoder.raise_if_wrong()
    assert training is not None
    prepared = Preparation(
        plan=plan,
        spec=spec,
        training=training,
        validation=validation,
        numbers=resolve(plan, num_examples=len(training.groups), d_model=spec.d_model),
        warnings=tuple(encoder.warnings),
    )
    _refuse_too_many(prepared)
    return prepared


def _refuse_too_many(prepared: Preparation) -> None:
    most = prepared.plan.max_tokens
    if most is not None and prepared.planned_tokens > most:
        message = (
            f"{prepared.planned_tokens} tokens would be trained ({prepared.training.num_tokens} in each of "
            f"{prepared.numbers.n_epochs} epochs) and {most} may be; give fewer examples or epochs."
        )
        raise DatasetError([LineError(code="token_limit_exceeded", message=message, param="training_file")])


class _Encoder:
    """Reads files one after the other and keeps what is wrong with them."""

    def __init__(self, renderer: Renderer, plan: TuningPlan, context: int) -> None:
        self._renderer = renderer
        self._method = plan.method
        self._room = most_answer_tokens(plan) if plan.method == "grpo" else 0  # for what is not there yet
        self._context = context
        self._errors: list[LineError] = []
        self._num_errors = 0
        self.warnings: list[str] = []

    def read(self, path: Path, param: FileParam) -> Encoded | None:
        try:
            data = _READERS[self._method](path, param=param)
        except DatasetError as error:
            self._errors += error.errors
            self._num_errors += error.num_errors
            return None
        self.warnings += data.warnings(param)
        # Negative in the validation file: a number names one example of both.
        sign = -1 if param == "validation_file" else 1
        numbered = enumerate(data.examples, start=1)
        groups = [self._groups(example, sign * number, param) for number, example in numbered]
        return Encoded(tuple(groups), data.sha256, data.examples)

    def raise_if_wrong(self) -> None:
        if self._errors:
            raise DatasetError(self._errors, self._num_errors)

    def _groups(
        self, example: Example | Preference | RewardedPrompt, number: int, param: FileParam
    ) -> tuple[Group, ...]:
        try:
            groups = self._encoded(example, number)
        except InvalidRequestError as error:
            self._add(error.code or "invalid_value", error.message, param, example.line)
            return ()
        longest = max(len(sequence.tokens) for group in groups for sequence in group.sequences)
        if longest + self._room > self._context:
            answer = f", its answer up to {self._room}," if self._room else ""
            message = (
                f"the example has {longest} tokens{answer} and the context holds {self._context}; "
                "shorten it, examples are not cut."
            )
            self._add("context_length_exceeded", message, param, example.line)
        return groups

    def _encoded(self, example: Example | Preference | RewardedPrompt, number: int) -> tuple[Group, ...]:
        if isinstance(example, Preference):
            return (Group(number, self._renderer.preference(example)),)
        if isinstance(example, RewardedPrompt):
            conversation = example.conversation
            tokens = self._renderer.prompt(conversation, conversation.messages)
            return (Group(number, (TokenSequence(tokens, ()),)),)
        return tuple(Group(number, (one,)) for one in self._renderer.supervised(example))

    def _add(self, code: str, message: str, param: FileParam, line: int) -> None:
        self._num_errors += 1
        self._errors.append(LineError(code=code, message=message, param=param, line=line))
