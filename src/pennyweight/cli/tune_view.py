"""Jobs of fine-tuning on a terminal: a bar while they train, tables of what there is."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from pennyweight.cli.terminal import notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress

    from pennyweight.store.tuning_events import TuningEvent
    from pennyweight.store.tuning_job import TuningJob

_LINE_S: Final = 5.0  # between steps told as lines
_COLUMNS: Final = ("id", "state", "model", "method", "tokens", "created", "result")


class TrainingView(Protocol):
    """Is shown what a job tells."""

    def show(self, event: TuningEvent) -> None: ...


@contextmanager
def training_view() -> Iterator[TrainingView]:
    """A bar where somebody looks, lines elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield TrainingLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("Training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps, {task.fields[measure]}, {task.fields[speed]} tokens/s, {task.fields[left]} left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield TrainingBar(bars)


class TrainingBar:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, visible=False, measure="", speed="", left="")

    def show(self, event: TuningEvent) -> None:
        if event.step is None:
            self._bars.console.print(event.message, highlight=False, markup=False)
            return
        told = _told(event)
        self._bars.update(
            self._task,
            completed=event.step,
            total=event.data.get("total_steps"),
            visible=True,
            measure=told["measure"],
            speed=told["speed"],
            left=told["left"],
        )


class TrainingLines:
    """Steps now and then, all else at once."""

    def __init__(self) -> None:
        self._told_s = 0.0

    def show(self, event: TuningEvent) -> None:
        if event.step is None:
            notice(event.message)
        elif time.monotonic() - self._told_s >= _LINE_S or event.step == event.data.get("total_steps"):
            self._told_s = time.monotonic()
            told = _told(event)
            notice(f"{event.message}; {told['speed']} tokens/s, {told['left']} left")


def _told(event: TuningEvent) -> dict[str, str]:
    data = event.data
    seconds = data.get("seconds_left")
    return {
        "measure": f"reward {data['mean_reward']:.3g}"
        if "mean_reward" in data
        else f"loss {data.get('train_loss', 0):.4g}",
        "speed": f"{data.get('tokens_per_s', 0):,.0f}",
        "left": "?" if seconds is None else _span(seconds),
    }


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_jobs(jobs: Sequence[TuningJob], *, as_json: bool) -> None:
    """A row for each."""
    if as_json:
        print(json.dumps([_as_dict(job) for job in jobs], ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=column in ("id", "state"), overflow="fold")
    for job in jobs:
        created = datetime.fromtimestamp(job.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(
            job.id,
            _state(job),
            job.model,
            job.method,
            f"{job.trained_tokens:,}",
            created,
            _result(job),
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def show_job(job: TuningJob, events: Sequence[TuningEvent], *, as_json: bool) -> None:
    """One, with what it told last."""
    if as_json:
        told = [{"message": event.message, "data": dict(event.data)} for event in events]
        print(json.dumps({**_as_dict(job), "events": told}, ensure_ascii=False))
        return
    for name, value in _as_dict(job).items():
        if value is not None:
            print(f"{name}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}")
    for event in events:
        at = datetime.fromtimestamp(event.created_at, UTC).strftime("%H:%M:%S")
        print(f"  {at} {event.message}")


def _as_dict(job: TuningJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": _state(job),
        "model": job.model,
        "method": job.method,
        "hyperparameters": dict(job.hyperparameters),
        "seed": job.seed,
        "training_file": job.training_file_id,
        "validation_file": job.validation_file_id,
        "created_at": job.created_at,
        "ended_at": job.ended_at,
        "num_steps": job.num_steps,
        "trained_tokens": job.trained_tokens,
        "cpu_seconds": round(job.cpu_us / 1e6, 3),
        "fine_tuned_model": job.fine_tuned_model,
        "result_file": job.result_file_id,
        "error": None if job.error is None else job.error["message"],
    }


def _state(job: TuningJob) -> str:
    return str(job.state) if job.paused_at is None else "paused"


def _result(job: TuningJob) -> str:
    if job.fine_tuned_model is not None:
        return job.fine_tuned_model
    return "" if job.error is None else str(job.error["message"])
