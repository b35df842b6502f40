"""`penny models`: the list, and names for models that stay where they are."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import Annotated

import typer

from pennyweight.cli.models import models

registry = typer.Typer(name="models", help="List models, and name those that lie elsewhere.")
registry.callback(invoke_without_command=True)(models)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the model is to be called.")]


@registry.command()
def add(
    name: _Name,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A GGUF file, or a model's folder.")],
    copies: Annotated[
        bool, typer.Option("--copy", help="Keep a copy; else the file must stay where it is.")
    ] = False,
) -> None:
    """Make a model on this machine known by a name, without copying it."""
    from pennyweight.cli.terminal import notice
    from pennyweight.errors import ModelNotFoundError
    from pennyweight.models.registry import register

    if not path.expanduser().exists():
        raise ModelNotFoundError(f"there is no model at {path}", param="model")
    register(name, path.expanduser(), copies=copies)
    notice(f"{name} is {'a copy of ' if copies else ''}{path}")


@registry.command()
def alias(
    name: _Name,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name that `penny models` lists, or an ft: name.")
    ],
) -> None:
    """Give an installed or a fine-tuned model a further name, such as an old one that begins with ft:."""
    from pennyweight.cli.terminal import notice
    from pennyweight.models.aliases import is_kept_here, keep_alias
    from pennyweight.models.registry import register

    if is_kept_here(name, model):
        keep_alias(name, model)
        notice(f"{name} is {model}, from the next start of the server on")
        return
    register(name, model)
    notice(f"{name} is {model}")


@registry.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A name that was given.")]) -> None:
    """Forget a name that `add` or `alias` gave; the model stays."""
    from pennyweight.cli.terminal import notice
    from pennyweight.models.aliases import forget_alias
    from pennyweight.models.registry import unregister

    if not forget_alias(name):
        unregister(name)
    notice(f"Forgot {name}")
