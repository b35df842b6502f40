"""`penny tune`: a file of examples becomes a model of one's own, with or without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from pennyweight.cli.options import Data, Database, Json, Threads  # noqa: TC001  typer reads them at run time

if TYPE_CHECKING:
    from pennyweight.cli.tuning_desk import TuningDesk
    from pennyweight.config import Settings
    from pennyweight.store.tuning_job import NewTuningJob

_LISTED = 100
_EVENTS_SHOWN = 20


class StartUnlessNamed(TyperGroup):
    """`penny tune DATA ...` is `penny tune start DATA ...`: what names no command is the data."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["start", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


tune = typer.Typer(
    name="tune",
    cls=StartUnlessNamed,
    help="Make a model better at what you have examples of: penny tune DATA.jsonl.",
    no_args_is_help=True,
)
JobId = Annotated[str, typer.Argument(metavar="ID", help="As `penny tune list` shows it.")]
Reward = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Of grpo: a program that reads a line of JSON for each answer, the prompt's line with `answer`, "
        "and writes a number for each: the more, the better.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Copy the adapter to this folder, in PEFT's format."),
]


@tune.command()
def start(
    examples: Annotated[
        Path, typer.Argument(metavar="DATA", help="JSON Lines, an example each, as OpenAI's fine-tuning has.")
    ],
    model: Annotated[str | None, typer.Option(help="Name or path of the model that is tuned.")] = None,
    method: Annotated[
        Literal["supervised", "dpo", "grpo"],
        typer.Option(help="Learn the answers, which of two is preferred, or what a program rewards."),
    ] = "supervised",
    validation: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Examples that are never trained on, to measure by.")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the new model's name.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often each example is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate-multiplier", help="Times the rate that suits the model.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Of dpo and grpo: how close it stays to what it was.")
    ] = None,
    reward: Reward = None,
    group_size: Annotated[int | None, typer.Option(help="Of grpo: answers to a prompt.")] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Of grpo: most tokens of an answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed and data give the same model.")] = None,
    threads: Threads = None,
    output: Output = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Tune a model, and show how it goes. Ctrl-C stops it; `penny tune resume` goes on."""
    from pennyweight.cli.tuning_desk import tuning_desk
    from pennyweight.cli.tuning_wish import TuningWish
    from pennyweight.config import Settings
    from pennyweight.jobs.trainer_process import Trainer

    flags = {"model": model, "tuning_threads": threads, "data": data, "database": database}
    settings = Settings.load(flags)
    chosen = {
        "n_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": learning_rate,
        "beta": beta,
        "group_size": group_size,
        "max_answer_tokens": max_answer_tokens,
        "reward_command": reward,
        "reward_folder": None if reward is None else str(Path.cwd()),
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    wish = TuningWish(model=settings.model, method=method, hyperparameters=given, suffix=suffix, seed=seed)
    new = wish.job(examples, validation)
    Trainer.here().check()
    with tuning_desk(settings, works=True) as desk:
        desk.check(new.method)
        _follow(desk, settings, _added(desk, new, examples, validation), output)


def _added(desk: TuningDesk, new: NewTuningJob, examples: Path, validation: Path | None) -> str:
    from dataclasses import replace

    training_id = desk.add_file(examples)
    validation_id = None if validation is None else desk.add_file(validation)
    return desk.add_job(replace(new, training_file_id=training_id, validation_file_id=validation_id)).id


@tune.command("list")
def list_jobs(as_json: Json = False, data: Data = None, database: Database = None) -> None:
    """List jobs, the newest first."""
    from pennyweight.cli.tune_view import show_jobs
    from pennyweight.store.pages import Cursor

    with _opened(data, database) as desk:
        show_jobs(desk.jobs(Cursor(limit=_LISTED, order="desc")), as_json=as_json)


@tune.command()
def show(
    job_id: JobId,
    output: Output = None,
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Show a job, and what it told last."""
    from pennyweight.cli.tune_view import show_job
    from pennyweight.store.pages import Cursor

    with _opened(data, database) as desk:
        job = desk.job(job_id)
        events = desk.events(job_id, Cursor(limit=_EVENTS_SHOWN, order="desc"))
        show_job(job, events[::-1], as_json=as_json)
        if job.fine_tuned_model is not None and output is not None:
            desk.copy_model(job.fine_tuned_model, output)


@tune.command()
def stop(job_id: JobId, data: Data = None, database: Database = None) -> None:
    """Stop a job where it is, in whatever process it is trained; `resume` goes on."""
    from pennyweight.cli.terminal import notice

    with _opened(data, database) as desk:
        desk.pause(job_id)
    notice(f"Stopped; `penny tune resume {job_id}` goes on from its last checkpoint")


@tune.command()
def resume(
    job_id: JobId,
    threads: Threads = None,
    output: Output = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Go on with a job that was stopped, and show how it goes."""
    from pennyweight.cli.tuning_desk import tuning_desk
    from pennyweight.config import Settings
    from pennyweight.jobs.trainer_process import Trainer

    settings = Settings.load({"tuning_threads": threads, "data": data, "database": database})
    Trainer.here().check()
    with tuning_desk(settings, works=True) as desk:
        desk.check(desk.job(job_id).method)
        desk.resume(job_id)
        _follow(desk, settings, job_id, output)


def _opened(data: str | None, database: str | None) -> Any:
    from pennyweight.cli.tuning_desk import tuning_desk
    from pennyweight.config import Settings

    return tuning_desk(Settings.load({"data": data, "database": database}), works=False)


def _follow(desk: TuningDesk, settings: Settings, job_id: str, output: Path | None) -> None:
    from pennyweight.cli.terminal import notice
    from pennyweight.cli.tuning_follow import follow

    try:
        job = follow(desk, settings, job_id)
    except KeyboardInterrupt:
        if desk.services is None:
            notice(f"The server goes on with it; `penny tune show {job_id}` tells how it is")
        else:
            desk.pause(job_id)
            notice(f"Stopped; `penny tune resume {job_id}` goes on from its last checkpoint")
        raise typer.Exit(130) from None
    if job.paused_at is not None:
        notice(f"It was stopped; `penny tune resume {job_id}` goes on")
        raise typer.Exit(1)
    if job.fine_tuned_model is None:
        from pennyweight.errors import PennyweightError

        raise PennyweightError("the job was cancelled" if job.error is None else str(job.error["message"]))
    if output is not None:
        desk.copy_model(job.fine_tuned_model, output)
        notice(f"The adapter is in {output}")
    notice(f"Trained {job.trained_tokens:,} tokens in {job.cpu_us / 1e6:,.0f} s of processor time")
    print(job.fine_tuned_model)
