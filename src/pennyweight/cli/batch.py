"""`penny batch`: many requests at once, without a server."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Alias,
    Context,
    EmbeddingModel,
    Memory,
    Model,
    Parallel,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.jobs.offline import InputRefusedError, OfflineBatch

_ERRORS_SHOWN = 20

batch = typer.Typer(
    name="batch", help="Answer a file of requests in OpenAI's batch format.", no_args_is_help=True
)


@batch.command()
def run(
    requests: Annotated[Path, typer.Argument(metavar="IN", help="JSON Lines, one request each.")],
    answers: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Where the answers go; what fails goes to OUT's .errors file."),
    ],
    model: Model = None,
    context: Context = None,
    parallel: Parallel = None,
    memory: Memory = None,
    threads: Threads = None,
    embedding_model: EmbeddingModel = None,
    alias: Alias = None,
) -> None:
    """Answer every line of IN into OUT. The same command again goes on where it was interrupted."""
    from pennyweight.cli.session import opened
    from pennyweight.cli.terminal import notice
    from pennyweight.config import Settings, alias_table
    from pennyweight.errors import ConfigError

    flags = {
        "model": model,
        "context": context,
        "parallel": parallel,
        "memory": memory,
        "threads": threads,
        "embedding_model": embedding_model,
        "aliases": alias_table(alias) if alias else None,
    }
    settings = Settings.load(flags)
    try:
        job = _checked(requests, answers)
        if not job.is_complete:
            from pennyweight.answers.principal import LOCAL
            from pennyweight.serving import OneModel, serving

            with opened(flags) as engine:
                house = serving(OneModel(engine), engine.encoder, settings)
                assert job.input.url is not None
                served = {house.check_model(job.input.url, name, LOCAL.project) for name in job.input.models}
                if len(served) > 1:
                    message = f"{requests} asks several models, {', '.join(sorted(served))}; a batch has one"
                    raise ConfigError(message)
                with request_bar(len(job.input)) as progress:
                    job.run(house.endpoints, LOCAL, progress=progress)
    except OSError as error:
        message = f"{error.filename or answers}: {error.strerror}; what was answered is kept, run this again"
        raise ConfigError(message) from error
    succeeded, failed = job.counts()
    told = f"; {failed} failed, see {job.files.errors}" if failed else ""
    notice(f"{succeeded} of {len(job.input)} requests were answered{told}")


def _checked(requests: Path, answers: Path) -> OfflineBatch:
    from pennyweight.errors import ConfigError
    from pennyweight.jobs.offline import InputRefusedError, OfflineBatch, OfflineFiles

    if not requests.is_file():
        raise ConfigError(f"there is no file {requests}; give one with a request on every line")
    files = OfflineFiles(input=requests, output=answers)
    for path in files.written:
        if requests.resolve() == path.resolve():
            raise ConfigError(f"{path} is the input; name another file for the answers")
    try:
        return OfflineBatch(files)
    except InputRefusedError as refused:
        _tell(refused)
        raise


def _tell(refused: InputRefusedError) -> None:
    """The first error is told by whoever ends the program, the others here."""
    from pennyweight.cli.terminal import notice

    for error in refused.errors[1:_ERRORS_SHOWN]:
        notice(error.message if error.line is None else f"line {error.line}: {error.message}")


@contextmanager
def request_bar(total: int) -> Iterator[Callable[[int], None]]:
    """A callback that draws how many lines are done; draws nothing where nobody looks."""
    import sys

    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Answering"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("requests"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=total)
        yield lambda done: bars.update(task, completed=done)
