"""`penny`: the commands together, and what every failure looks like on a terminal.

Exit codes: 0; 1 for a failure explained in one line; 2 for wrong usage; 130 after Ctrl-C. Heavy modules are
imported by the commands that need them, so that help and errors come at once.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from typing import Annotated, NoReturn

import typer

from pennyweight.cli.batch import batch
from pennyweight.cli.bench import bench
from pennyweight.cli.chat import chat
from pennyweight.cli.distill import distill
from pennyweight.cli.doctor import doctor
from pennyweight.cli.keys import keys
from pennyweight.cli.pull import pull
from pennyweight.cli.quantize import quantize
from pennyweight.cli.record import record
from pennyweight.cli.registry import registry
from pennyweight.cli.rm import rm
from pennyweight.cli.run import run
from pennyweight.cli.serve import serve
from pennyweight.cli.store import store
from pennyweight.cli.terminal import drop_output
from pennyweight.cli.tune import tune
from pennyweight.cli.usage import cost, usage
from pennyweight.errors import PennyweightError

_SUMMARY = "A small language model you own: it answers on this machine, for people and programs."

_OUTPUT_FAILURES = frozenset({errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC})

app = typer.Typer(
    name="penny",
    help=_SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, chat, serve, record, distill, pull, quantize, rm, usage, cost, bench, doctor):
    app.command()(command)
app.add_typer(registry)
app.add_typer(keys)
app.add_typer(batch)
app.add_typer(store)
app.add_typer(tune)


def _show_version(wanted: bool) -> None:
    if wanted:
        from pennyweight import __version__

        print(__version__)
        raise typer.Exit


@app.callback(help=_SUMMARY)
def penny(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """What comes before a command's name."""


def main() -> NoReturn:
    """Run the command line and exit."""
    gc.disable()  # all that a start makes stays: looking through it again and again costs 70 ms
    _prepare_streams()
    try:
        code = _run()
        _flush()
    except OSError as error:
        # Python does not say which file it was; those that we open ourselves have a name.
        if error.filename is not None or error.errno not in _OUTPUT_FAILURES:
            raise
        drop_output()
        print(f"penny: standard output could not be written: {error.strerror}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _run() -> int | str | None:
    try:
        app()
    except SystemExit as ended:
        return ended.code
    except PennyweightError as error:
        print(f"penny: {error.message}", file=sys.stderr)
        return 1
    return 0


def _prepare_streams() -> None:
    """Python has None for a stream that was closed, and an encoding may lack what an answer contains."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  for as long as the process lives
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        print("penny: standard output is closed; send it to /dev/null if nobody reads it", file=sys.stderr)
        sys.exit(1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        drop_output()
