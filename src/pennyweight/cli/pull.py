"""`penny pull`: get a model of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pennyweight.models.catalog import CatalogEntry


def pull(
    name: Annotated[str, typer.Argument(help="A name that `penny models` lists.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's terms without being asked.")
    ] = False,
) -> None:
    """Download a model, verify it and keep it."""
    from pennyweight.cli.terminal import notice, progress_bars
    from pennyweight.models.fetch import pull as fetch

    entry = _entry(name)
    with progress_bars() as progress:
        path = fetch(
            entry,
            progress=lambda done, total: progress("download", done, total),
            accept_licence=_accept if accept_licence else _ask,
        )
    notice(f"{name} is at {path}")


def _entry(name: str) -> CatalogEntry:
    from difflib import get_close_matches

    from pennyweight.errors import ModelNotFoundError
    from pennyweight.models.catalog import CATALOG

    if name not in CATALOG:
        close = get_close_matches(name, CATALOG, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it knows {', '.join(CATALOG)}"
        raise ModelNotFoundError(f"the catalog has no model {name!r}; {hint}", param="model")
    return CATALOG[name]


def _accept(entry: CatalogEntry, _: str) -> bool:
    from pennyweight.cli.terminal import notice

    notice(f"{entry.name}: accepting the {entry.licence.name} ({entry.licence.url})")
    return True


def _ask(entry: CatalogEntry, terms: str) -> bool:
    import sys

    from pennyweight.cli.terminal import notice
    from pennyweight.errors import FetchError

    notice(terms)
    if not sys.stdin.isatty():
        message = (
            f"{entry.name} comes under the {entry.licence.name} shown above; "
            f"accept them with `penny pull {entry.name} --accept-licence`"
        )
        raise FetchError(message)
    return typer.confirm(f"Do you accept the {entry.licence.name}?", err=True)
