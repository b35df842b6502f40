"""What a trainer says, as OpenAI's events and metrics (https://platform.openai.com/docs/api-reference/fine-tuning)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pennyweight.store.tuning_job import NewEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pennyweight.store.tuning_job import TuningJob

CHOSEN: Final = (
    "n_epochs",
    "batch_size",
    "learning_rate_multiplier",
    "beta",
    "group_size",
    "max_answer_tokens",
)
"""Hyperparameters that a trainer tells, once it has seen the data."""
_METRICS: Final = (
    "step",
    "train_loss",
    "train_mean_token_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "full_valid_loss",
    "full_valid_mean_token_accuracy",
)
_FURTHER: Final = (
    "reward_margin",
    "reward_accuracy",
    "mean_reward",
    "spread_share",
    "mean_answer_tokens",
    "kl",
    "logprob_gap",
    "tokens",
    "tokens_per_s",
    "seconds_left",
)
_LOSSES: Final = (
    ("mean_reward", "reward"),
    ("train_loss", "training loss"),
    ("valid_loss", "validation loss"),
    ("full_valid_loss", "full validation loss"),
)


def chosen_hyperparameters(job: TuningJob, told: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the job with numbers in the place of `auto`."""
    return dict(job.hyperparameters) | {
        name: told[name] for name in CHOSEN if name in job.hyperparameters and told.get(name) is not None
    }


def validated_events(job: TuningJob, told: Mapping[str, Any]) -> Iterator[NewEvent]:
    """The data is good, or at least can be trained on."""
    for warning in told.get("warnings", ()):
        yield NewEvent(message=str(warning), level="warn")
    yield NewEvent(message=f"Files validated: {told['num_examples']} examples, {told['num_tokens']} tokens")
    chosen = chosen_hyperparameters(job, told)
    yield NewEvent(message="Fine-tuning job started", data={**chosen, "total_steps": told["num_steps"]})


def step_event(told: Mapping[str, Any], num_steps: int | None) -> NewEvent:
    """One step of training."""
    step = int(told["step"])
    losses = [f"{title}={told[name]:.4g}" for name, title in _LOSSES if told.get(name) is not None]
    known = {name: told[name] for name in (*_METRICS, *_FURTHER) if told.get(name) is not None}
    return NewEvent(
        message=f"Step {step}/{num_steps}: {', '.join(losses)}",
        step=step,
        data={**known, "total_steps": num_steps},
    )


def checkpoint_metrics(told: Mapping[str, Any]) -> dict[str, Any]:
    """How good a checkpoint is, of all that OpenAI's have."""
    metrics = told.get("metrics") or {}
    known = {name: metrics[name] for name in _METRICS if metrics.get(name) is not None}
    return {**known, "step": told["step"]}
