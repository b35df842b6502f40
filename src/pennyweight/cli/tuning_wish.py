"""A job of fine-tuning as a person asks for it on the command line, checked before anything is opened."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.errors import ConfigError
from pennyweight.jobs.tuning_request import AUTO, HYPERPARAMETERS, MAX_SEED, Hyperparameters, Suffix
from pennyweight.store.identifiers import new_id
from pennyweight.store.projects import DEFAULT_PROJECT
from pennyweight.store.tuning_job import NewTuningJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.tuning_job import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningWish:
    """`model` is a name or a path; `hyperparameters` are those that were given."""

    model: str
    method: Method
    hyperparameters: Mapping[str, Any]
    suffix: str | None
    seed: int | None

    def job(self, examples: Path, validation: Path | None) -> NewTuningJob:
        """A job whose files have no ids yet. Raises ConfigError, InvalidRequestError, ModelNotFoundError.

        The default model is fetched if it is not there.
        """
        from pennyweight.api import find_model
        from pennyweight.cli.terminal import progress_bars
        from pennyweight.residents.server_models import served_name

        for path in (examples, validation):
            if path is not None and not path.is_file():
                raise ConfigError(f"there is no file {path}; give one with an example on every line")
        self._check_flags()
        self._check_reward(validation)
        Hyperparameters(self.method).read(dict(self.hyperparameters), "hyperparameters")
        if self.suffix is not None:
            Suffix().read(self.suffix, "suffix")
        with progress_bars() as progress:
            found = find_model(self.model, progress)
        is_path = Path(self.model).exists()
        name = served_name(self.model)
        return NewTuningJob(
            id=new_id("ftjob-"),
            project_id=DEFAULT_PROJECT,
            key_id=None,
            model_asked=name,
            model=name,
            source=str(found.absolute()) if is_path else self.model,
            method=self.method,
            hyperparameters=dict.fromkeys(HYPERPARAMETERS[self.method], AUTO) | dict(self.hyperparameters),
            training_file_id="",
            validation_file_id=None,
            suffix=self.suffix,
            seed=secrets.randbelow(MAX_SEED) if self.seed is None else self.seed,
            metadata={},
            created_at=int(time.time()),
        )

    def _check_flags(self) -> None:
        """A person gave flags, whose names are not those of the interface."""
        for name in self.hyperparameters:
            methods = [method for method, kinds in HYPERPARAMETERS.items() if name in kinds]
            if self.method not in methods:
                flag = f"--{name.removesuffix('_command').replace('_', '-')}"
                meant = " or ".join(f"--method {method}" for method in methods)
                raise ConfigError(f"{flag} means nothing to --method {self.method}; it goes with {meant}")

    def _check_reward(self, validation: Path | None) -> None:
        if self.method != "grpo":
            return
        if "reward_command" not in self.hyperparameters:
            raise ConfigError(
                "grpo learns from what a program says of answers: give it with --reward COMMAND; it reads a "
                "line of JSON with messages and answer for each, and writes a number"
            )
        if validation is not None:
            raise ConfigError("grpo has no --validation: ask the model before and after with other prompts")
