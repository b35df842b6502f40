"""Standard output is for answers alone; progress and notices go to standard error, if a person looks."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bars

    from pennyweight.api import Progress

_PATIENCE_S = 0.3  # what is over sooner needs no bar
_WORTH_TELLING = 2**30  # bytes; a model that needs less is loaded before anybody has read that
_TITLES = {
    "download": "Downloading the model",
    "encoder": "Downloading the embedding model",
    "load": "Loading the model",
    "importance": "Reading the text",
    "quantize": "Writing the new model",
}


def notice(text: str) -> None:
    """One line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def write(text: str) -> None:
    """A piece of an answer, shown at once. Ends the program quietly if nobody reads any more (`| head`)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        raise typer.Exit(0) from None


def drop_output() -> None:
    """What Python still holds for standard output goes nowhere, or it would complain when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A callback that draws a bar per stage; on a pipe it says in one line that a download begins."""
    if not sys.stderr.isatty():
        yield _LinePerDownload()
        return
    bars = _bars()
    try:
        yield _BarPerStage(bars)
    finally:
        bars.stop()


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner while nothing can be shown yet."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


class _BarPerStage:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._started = False
        self._tasks = {stage: bars.add_task(title, visible=False) for stage, title in _TITLES.items()}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not self._started:
            # Not before there is something to show: a question may come first.
            self._started = True
            self._bars.start()
        if stage == "memory":
            title = f"{_TITLES['load']}, which needs {_of_memory(done, total)}"
            self._bars.update(self._tasks["load"], description=title)
            return
        self._bars.update(self._tasks[stage], completed=done, total=total, visible=True)


class _LinePerDownload:
    def __init__(self) -> None:
        self._told = set(_TITLES) - {"download", "encoder"}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage == "memory":
            if done >= _WORTH_TELLING:
                notice(f"{_TITLES['load']}, which needs {_of_memory(done, total)} ...")
        elif stage not in self._told:
            self._told.add(stage)
            notice(f"{_TITLES[stage]} ({total / 1e6:.0f} MB) ...")


def _of_memory(needed: int, available: int) -> str:
    return f"{needed / 2**20:,.0f} of {available / 2**20:,.0f} MiB of memory"


class PromptBar:
    """A bar for a prompt that takes a while to read; nothing for a short one, or where nobody looks."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._bars: Bars | None = None

    def show(self, computed: int, total: int) -> None:
        """`computed` of `total` tokens have been read."""
        if self._bars is None:
            if not sys.stderr.isatty() or self._clock() - self._started_s < _PATIENCE_S:
                return
            self._bars = _token_bars()
            self._bars.add_task("Reading the prompt", completed=computed, total=total)
            self._bars.start()
        self._bars.update(self._bars.task_ids[0], completed=computed, total=total)

    def close(self) -> None:
        """Take the bar away again."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _token_bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tokens"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
