"""Reports of usage and cost as tables, or as JSON whose numbers are whole and whose money is exact."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pennyweight.cost.prices import PICODOLLARS

if TYPE_CHECKING:
    from pennyweight.cost.machine import Machine, RealCost
    from pennyweight.cost.report import Report, ReportRow


def show_usage(report: Report, *, as_json: bool) -> None:
    """Requests, tokens, processor time."""
    if as_json:
        rows = [_usage(row, report) for row in report.rows]
        print(json.dumps({**_span(report), "rows": rows, "total": _usage(report.total, None)}))
        return
    _print_table(
        report,
        ("requests", "prompt", "cached", "completion", "CPU s"),
        lambda row: (
            f"{row.requests:,}",
            f"{row.prompt_tokens:,}",
            f"{row.cached_tokens:,}",
            f"{row.completion_tokens:,}",
            f"{row.cpu_s:,.1f}",
        ),
    )


def show_cost(report: Report, machine: Machine, *, as_json: bool) -> None:
    """The list price beside the machine's own cost."""

    def real(row: ReportRow) -> RealCost:
        return machine.cost(cpu_s=row.cpu_s, span_s=report.span_s)

    standing = machine.standing(report.span_s)
    if as_json:
        rows = [{**_usage(row, report), **_price(row), **_real(real(row))} for row in report.rows]
        total = {**_usage(report.total, None), **_price(report.total), **_real(real(report.total))}
        energy = {"method": machine.power.method, "uncertainty_percent": machine.power.uncertainty_percent}
        known = {} if standing.joules is None else {"energy": energy}
        told = {"rows": rows, "total": total, "standing": _real(standing), **known}
        print(json.dumps({**_span(report), **told}))
        return

    def cells(row: ReportRow) -> tuple[str, ...]:
        cost = real(row)
        joules = "-" if cost.joules is None else f"{cost.joules:,.0f}"
        dollars = "-" if cost.dollars is None else f"{cost.dollars:,.6f}"
        return (f"{row.requests:,}", f"{row.dollars:,.6f}", f"{100 * cost.share:.3f}", joules, dollars)

    _print_table(report, ("requests", "list price $", "machine %", "joules", "here $"), cells)
    _print_notes(standing, machine)


def _print_notes(standing: RealCost, machine: Machine) -> None:
    from rich.console import Console

    out = Console(highlight=False)
    if standing.dollars is not None:
        out.print(f"Not in it: {standing.dollars:,.4f} $ that the machine costs over this time, busy or not.")
    if standing.joules is None:
        out.print("Energy is unknown: set idle_watts and busy_watts in the settings file.")
    else:
        out.print(f"Energy: {machine.power.method}.")
    if standing.dollars is None:
        out.print("For dollars here, set hardware_per_hour, or power_per_kwh and the watts.")


def _print_table(report: Report, columns: tuple[str, ...], cells: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=bool(report.rows))
    totals = cells(report.total)
    for number, name in enumerate(report.by):
        table.add_column(name, no_wrap=True, footer="total" if number == 0 else "")
    for name, footer in zip(columns, totals, strict=True):
        table.add_column(name, justify="right", footer=footer)
    for row in report.rows:
        table.add_row(*row.of, *cells(row))
    out = Console(highlight=False)
    out.print(table)
    if not report.rows:
        out.print(f"No requests since {_date(report.since)}.")


def _span(report: Report) -> dict[str, Any]:
    return {"since": report.since, "until": report.until, "by": list(report.by)}


def _usage(row: ReportRow, report: Report | None) -> dict[str, Any]:
    of = {} if report is None else dict(zip(report.by, row.of, strict=True))
    return {
        **of,
        "requests": row.requests,
        "prompt_tokens": row.prompt_tokens,
        "cached_tokens": row.cached_tokens,
        "completion_tokens": row.completion_tokens,
        "cpu_seconds": round(row.cpu_s, 6),
    }


def _price(row: ReportRow) -> dict[str, Any]:
    return {"price_usd": f"{Decimal(row.price) / PICODOLLARS:f}"}


def _real(cost: RealCost) -> dict[str, Any]:
    return {"machine_share": cost.share, "joules": cost.joules, "real_usd": cost.dollars}


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
