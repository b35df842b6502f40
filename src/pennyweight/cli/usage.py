"""`penny usage` and `penny cost`: what was asked of this server and what it cost, while it runs or not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import Data, Database, Json  # noqa: TC001  typer reads them at run time

if TYPE_CHECKING:
    from pennyweight.config import Settings
    from pennyweight.cost.report import Report

Since = Annotated[
    str,
    typer.Option(metavar="TIME", help="From when on: 30d, 12h, 15m ago, or a date such as 2027-01-31 (UTC)."),
]
By = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="What to tell apart: day, model, key, project, endpoint, kind, batch, outcome; with commas.",
    ),
]


def usage(
    since: Since = "30d",
    by: By = "day",
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Show requests, tokens and processor time, by day or by what you name."""
    from pennyweight.cli.usage_view import show_usage

    report, _ = _read(since, by, data, database)
    show_usage(report, as_json=as_json)


def cost(
    since: Since = "30d",
    by: By = "model",
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Show the price of what was asked, by the price list, and what it really cost on this machine."""
    from pennyweight.cli.usage_view import show_cost
    from pennyweight.cost.machine import Machine
    from pennyweight.cost.power_meter import measured_power
    from pennyweight.store.data_folder import default_path

    report, settings = _read(since, by, data, database)
    folder = default_path(os.environ) if settings.data is None else Path(settings.data)
    show_cost(report, Machine.of(settings, measured_power(folder)), as_json=as_json)


def _read(since: str, by: str, data: str | None, database: str | None) -> tuple[Report, Settings]:
    from pennyweight.cli.usage_time import names_of, seconds_of
    from pennyweight.config import Settings
    from pennyweight.cost.report import read_report
    from pennyweight.store.data_folder import DataFolder
    from pennyweight.store.database import Database

    settings = Settings.load({"data": data, "database": database})
    until = int(time.time()) + 1
    begin, names = seconds_of(since, now=until), names_of(by)
    with Database.find(settings.database or DataFolder.find(settings.data).kept_database_url) as store:
        report = store.read_now(lambda link: read_report(link, since=begin, until=until, by=names))
    return report, settings
