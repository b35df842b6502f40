"""`penny models`: what the catalog knows and what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.cli.options import Json  # noqa: TC001  typer reads the annotations at run time

if TYPE_CHECKING:
    from pennyweight.models.catalog import CatalogEntry
    from pennyweight.models.local import InstalledModel

_COLUMNS = ("name", "size", "format", "architecture", "context", "installed")


def models(as_json: Json = False) -> None:
    """List models: size, format, architecture, context and whether they are installed."""
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.local import installed_models

    installed = installed_models()
    rows = [_installed_row(model) for model in installed]
    names = {model.name for model in installed}
    rows += [_catalog_row(entry) for entry in CATALOG.values() if entry.name not in names]
    if as_json:
        import json

        print(json.dumps(rows, ensure_ascii=False))
    else:
        _print_table(rows)


def _installed_row(model: InstalledModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "size": model.num_bytes,
        "format": ", ".join(model.types),
        "architecture": model.architecture,
        "context": model.context_length,
        "installed": "yes" if model.problem is None else f"unusable: {model.problem}",
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
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        numeric = column in ("size", "context")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=column == "name")
    for row in rows:
        cells = {**row, "size": f"{row['size'] / 1e6:,.0f} MB", "context": f"{row['context']:,}"}
        table.add_row(*(str(cells[column]) for column in _COLUMNS))
    Console().print(table)
