"""`penny`: the commands together, and what every failure looks like on a terminal.

Exit codes: 0; 1 for a failure explained in one line; 2 for wrong usage; 130 after Ctrl-C. Heavy modules are
imported by the commands that need them, so that help and errors come at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from pennyweight.cli.bench import bench
from pennyweight.cli.chat import chat
from pennyweight.cli.doctor import doctor
from pennyweight.cli.models import models
from pennyweight.cli.pull import pull
from pennyweight.cli.rm import rm
from pennyweight.cli.run import run
from pennyweight.cli.serve import serve
from pennyweight.errors import PennyweightError

_SUMMARY = "A small language model you own: it answers on this machine, for people and programs."

app = typer.Typer(
    name="penny",
    help=_SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, chat, serve, pull, models, rm, bench, doctor):
    app.command()(command)


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
    try:
        app()
    except PennyweightError as error:
        print(f"penny: {error.message}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)
