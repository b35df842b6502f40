"""`penny models`: what is installed, what the catalog knows, and with `--fit` what suits this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Json,
    KvCacheDtype,
)

if TYPE_CHECKING:
    from pennyweight.cli.fit import Fit, Machine
    from pennyweight.kv_format import KvFormat
    from pennyweight.models.catalog import CatalogEntry
    from pennyweight.models.local import InstalledModel

_COLUMNS = ("name", "size", "format", "architecture", "context", "installed", "source")
_NUMBERS = frozenset({"size", "context", "download", "memory"})
_WIDTHS = {"format": 6, "licence": 10, "fits": 11, "source": 10}  # longer ones take more than a line
_SHOWN_COMMIT = re.compile(r"(@[0-9a-f]{12})[0-9a-f]{28}\b")
_SENTENCES = _WIDTHS.keys()


def models(
    invocation: typer.Context,
    fit: Annotated[
        bool, typer.Option("--fit", help="Show which recommended models fit this machine's memory and disk.")
    ] = False,
    context: Annotated[
        int | None, typer.Option(min=1, help="With --fit: tokens of prompt and answer together; else 8,192.")
    ] = None,
    kv_cache_dtype: KvCacheDtype = None,
    as_json: Json = False,
) -> None:
    """List models: size, format, architecture, context and whether they are installed."""
    if invocation.invoked_subcommand is not None:
        return
    if fit:
        _show_fits(context, kv_cache_dtype or "int8", as_json=as_json)
        return
    for option, value in (("--context", context), ("--kv-cache-dtype", kv_cache_dtype)):
        if value is not None:
            raise typer.BadParameter("it goes with --fit", param_hint=option)
    from pennyweight.cli.terminal import notice
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.local import installed_models

    installed = installed_models()
    rows = [_installed_row(model) for model in installed]
    names = {model.name for model in installed}
    rows += [_catalog_row(entry) for entry in CATALOG.values() if entry.name not in names]
    if as_json:
        _print_json(rows)
        return
    _print_table(_COLUMNS, [_cells(row) for row in rows])
    notice("`penny models --fit` shows more models, and which of them suit this machine")


def _installed_row(model: InstalledModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "size": model.num_bytes,
        "format": ", ".join(model.types),
        "architecture": model.architecture,
        "context": model.context_length,
        "installed": "yes" if model.problem is None else f"unusable: {model.problem}",
        "source": model.source,
    }


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    """For people: a commit's first characters are enough."""
    return row | {
        "size": f"{row['size'] / 1e6:,.0f} MB",
        "context": f"{row['context']:,}",
        "source": _SHOWN_COMMIT.sub(r"\1", row["source"]),
    }


def _catalog_row(entry: CatalogEntry) -> dict[str, Any]:
    # The catalog does not repeat what the file itself will say.
    return {
        "name": entry.name,
        "size": entry.size,
        "format": "",
        "architecture": "",
        "context": entry.context_length,
        "installed": "no",
        "source": "catalog",
    }


def _show_fits(context: int | None, kv_format: KvFormat, *, as_json: bool) -> None:
    from pennyweight.cli.fit import DEFAULT_CONTEXT, fits, largest, this_machine

    machine = this_machine()
    found = fits(machine, context, kv_format=kv_format)
    best = largest(found)
    if as_json:
        _print_json(
            {
                "memory_available_bytes": machine.memory_bytes,
                "disk_free_bytes": machine.disk_bytes,
                "context": context or DEFAULT_CONTEXT,
                "kv_cache_dtype": kv_format,
                "largest": None if best is None else best.name,
                "models": [fit.as_dict() for fit in found],
            }
        )
        return
    columns = ("name", "download", "memory", "context", "licence", "fits")
    _print_table(columns, [_fit_cells(fit, is_best=fit is best) for fit in found])
    for line in _explanation(machine, context or DEFAULT_CONTEXT, best):
        print(line)


def _fit_cells(fit: Fit, *, is_best: bool) -> dict[str, Any]:
    answer = "yes" if fit.fits else f"no: {fit.problem}"
    return {
        "name": fit.name + ("*" if fit.tried else ""),
        "download": f"{fit.download_bytes / 1e9:.2f} GB",
        "memory": f"{fit.memory_bytes / 2**30:.1f} GiB",
        "context": f"{fit.context_length / 1024:.0f}k",
        "licence": fit.licence,
        "fits": answer + (", the largest" if is_best else "") + (", installed" if fit.installed else ""),
    }


def _explanation(machine: Machine, context: int, best: Fit | None) -> list[str]:
    lines = [
        f"{machine.memory_bytes / 2**20:,.0f} MiB of memory are available. Memory is what one context of "
        f"{context:,} tokens takes (or the model's, if that is less), weights and program included."
    ]
    if best is None:
        lines.append("None of them fits; ask for a smaller --context, or close other programs.")
    elif best.installed:
        lines.append(f"The largest that fits is here: `penny chat --model {best.name}`.")
    else:
        lines.append(f"The largest that fits: `penny pull {best.name}`.")
    lines.append("Sizes are computed from shapes. * This very file was loaded by the makers of Pennyweight.")
    return lines


def _print_json(value: object) -> None:
    import json

    print(json.dumps(value, ensure_ascii=False))


def _print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    for column in columns:
        justify: Literal["right", "left"] = "right" if column in _NUMBERS else "left"
        table.add_column(
            column,
            justify=justify,
            no_wrap=column not in _SENTENCES,
            min_width=_WIDTHS.get(column),
            overflow="fold" if column == "source" else "ellipsis",
        )
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)
