"""`penny rm`: remove an installed model."""

from __future__ import annotations

from typing import Annotated

import typer


def rm(name: Annotated[str, typer.Argument(help="A name that `penny models` lists as installed.")]) -> None:
    """Delete a model's file from the cache folder."""
    from pennyweight.cli.terminal import notice
    from pennyweight.models.local import remove

    notice(f"Removed {remove(name)}")
