"""`penny pull`: get a model by name, from the Hugging Face hub, from a URL or a path of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.models.address import Address, HubAddress
    from pennyweight.models.catalog import CatalogEntry, LocalPath, Url
    from pennyweight.models.delivery import Order
    from pennyweight.models.recommended import RecommendedModel


def pull(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|ADDRESS",
            help="A name that `penny models --fit` lists, hf:OWNER/NAME[@REVISION][:FILE], a URL, or a path.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call the model; by default as its file.")] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="What the one file of a URL or path must be.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Show what a repository has and what would be taken.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another model of that name.")
    ] = False,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the model's terms without being asked.")
    ] = False,
) -> None:
    """Download a model, verify it and keep it. Interrupted, the same command goes on where it was."""
    from pennyweight.models.address import HubAddress, parse_address
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.recommended import RECOMMENDED

    if source in CATALOG:
        _pull_named(CATALOG[source], accept=accept_licence)
        return
    address: Address | None
    if source in RECOMMENDED:
        entry = RECOMMENDED[source]
        address, name = HubAddress(repo=entry.repo, file=entry.file), name or entry.name
        if not only_list:
            _agree(entry, accept=accept_licence)
    else:
        address = parse_address(source)
    if address is None:
        raise _unknown(source)
    if isinstance(address, HubAddress):
        _pull_hub(address, name=name, sha256=sha256, only_list=only_list, replace=replace)
    elif only_list:
        raise typer.BadParameter("only a repository of the hub can be listed", param_hint="--list")
    else:
        _deliver(_file_order(address, name=name, sha256=sha256), replace=replace)


def _agree(entry: RecommendedModel, *, accept: bool) -> None:
    """Raise FetchError unless the licence asks nothing, or what it asks is accepted."""
    from pennyweight.cli.terminal import notice
    from pennyweight.errors import FetchError
    from pennyweight.models.recommended import FREE_LICENCES

    licence = entry.licence
    if licence.name in FREE_LICENCES:
        return
    if accept:
        notice(f"{entry.name}: accepting the {licence.name} ({licence.url})")
    elif not _ask(entry, f"{entry.name} comes under the {licence.name}: {licence.url}"):
        raise FetchError(f"the {licence.name} was not accepted")


def _pull_named(entry: CatalogEntry, *, accept: bool) -> None:
    from pennyweight.cli.terminal import notice, progress_bars
    from pennyweight.models.fetch import pull as fetch

    with progress_bars() as progress:
        path = fetch(
            entry,
            progress=lambda done, total: progress("download", done, total),
            accept_licence=_accept if accept else _ask,
        )
    notice(f"{entry.name} is at {path}")


def _pull_hub(
    address: HubAddress, *, name: str | None, sha256: str | None, only_list: bool, replace: bool
) -> None:
    from pennyweight.cli.pull_view import show_files, show_offer
    from pennyweight.cli.terminal import notice
    from pennyweight.models.delivery import is_unchanged
    from pennyweight.models.fetch_hub import hub_order, offer
    from pennyweight.models.hub import is_offline
    from pennyweight.models.pulled import pulled_from
    from pennyweight.system_memory import available_memory

    if sha256 is not None:
        raise typer.BadParameter("the hub tells the digests itself", param_hint="--sha256")
    known = pulled_from(str(address)) if is_offline() else None
    if known is not None and is_unchanged(known):
        notice(f"{known.name} is here, from {known.source}; the hub was not asked (HF_HUB_OFFLINE)")
        return
    memory = available_memory()
    found = offer(address, memory_bytes=memory)
    if only_list:
        show_files(found)
        return
    show_offer(address, found, memory_bytes=memory)
    _deliver(hub_order(address, found, name=name), replace=replace)


def _file_order(address: Url | LocalPath, *, name: str | None, sha256: str | None) -> Order:
    from pathlib import Path

    from pennyweight.models.catalog import Url
    from pennyweight.models.fetch_file import path_order, url_order

    if isinstance(address, Url):
        return url_order(address.url, name=name, sha256=sha256)
    return path_order(Path(address.path), name=name, sha256=sha256)


def _deliver(order: Order, *, replace: bool) -> None:
    from pennyweight.cli.terminal import notice, progress_bars
    from pennyweight.models.delivery import deliver
    from pennyweight.models.local import inspect

    with progress_bars() as progress:
        path: Path = deliver(
            order, replace=replace, progress=lambda done, total: progress("download", done, total)
        )
    notice(f"{order.name} is at {path}, from {order.source}")
    problem = inspect(path).problem
    if problem is not None:
        notice(f"All of it is here, but this engine cannot run it: {problem}")


def _unknown(name: str) -> Exception:
    from difflib import get_close_matches

    from pennyweight.errors import ModelNotFoundError
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.recommended import RECOMMENDED

    known = [*CATALOG, *RECOMMENDED]
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"it knows {', '.join(known)}, and hf:OWNER/NAME"
    return ModelNotFoundError(f"the catalog has no model {name!r}; {hint}", param="model")


def _accept(entry: CatalogEntry, _: str) -> bool:
    from pennyweight.cli.terminal import notice

    notice(f"{entry.name}: accepting the {entry.licence.name} ({entry.licence.url})")
    return True


def _ask(entry: CatalogEntry | RecommendedModel, terms: str) -> bool:
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
