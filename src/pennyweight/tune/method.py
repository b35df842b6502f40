"""The objective of a plan's method, with what it needs: the base's answers, or an engine and a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pennyweight.errors import ConfigError
from pennyweight.judge_program import JudgeProgram
from pennyweight.tune.failure import StoppedError
from pennyweight.tune.grpo import GroupRelative
from pennyweight.tune.objective import Preferences, Supervised
from pennyweight.tune.reference_answers import reference_of
from pennyweight.tune.reward import Reward
from pennyweight.tune.rollouts import Rollouts

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from pennyweight.tune.adapted import AdaptedModel
    from pennyweight.tune.objective import Objective
    from pennyweight.tune.preparation import Preparation
    from pennyweight.tune.processes import Processes
    from pennyweight.tune.protocol import Stop

_REFERENCE: Final = "reference.json"
_POLICY: Final = "policy"
_REWARD_LIMIT_S: Final = 600.0  # of a step: a program that hangs must not hold a training for ever


def objective_of(
    folder: Path,
    prepared: Preparation,
    model: AdaptedModel,
    *,
    stop: Stop,
    processes: Processes,
    stack: ExitStack,
) -> Objective:
    """What `model` is trained for, in the work folder `folder`; `stack` closes what is opened for that."""
    plan = prepared.plan
    match plan.method:
        case "supervised":
            return Supervised()
        case "dpo":
            return _preferences(folder, prepared, model, stop, processes)
        case "grpo":
            if processes.number > 1:
                raise ConfigError("grpo trains in one process: start it without `accelerate launch`")
            assert plan.reward_command is not None, "the plan was checked"
            program = JudgeProgram(
                command=plan.reward_command, folder=plan.reward_folder, limit_s=_REWARD_LIMIT_S
            )
            return GroupRelative(
                sampler=stack.enter_context(Rollouts(prepared, model, folder / _POLICY, stop)),
                judge=Reward(program, prepared.prompts),
                beta=prepared.numbers.beta,
            )


def _preferences(
    folder: Path, prepared: Preparation, model: AdaptedModel, stop: Stop, processes: Processes
) -> Preferences:
    def check() -> None:
        if stop.is_set:
            raise StoppedError("before the first step")

    reference = reference_of(
        model,
        prepared.all_groups,
        path=folder / _REFERENCE,
        identity=prepared.identity,
        pack_tokens=prepared.plan.pack_tokens,
        check=check,
        keep=processes.is_first,
    )
    return Preferences(beta=prepared.numbers.beta, reference=reference)
