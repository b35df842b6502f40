"""`penny bench`: how fast the real decoder is here, beside what the machine can do at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Json,
    KvCacheDtype,
    Model,
    Threads,
)

if TYPE_CHECKING:
    from pennyweight.cli.measure import Figure, Machine

_LENGTHS = (128, 512, 2048)
_STREAMS = (1, 4, 16, 32)


def bench(
    model: Model = None,
    lengths: Annotated[list[int] | None, typer.Option("--length", min=1, help="Prompt lengths.")] = None,
    streams: Annotated[list[int] | None, typer.Option("--streams", min=1, help="Numbers of streams.")] = None,
    kv_cache_dtype: KvCacheDtype = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure prompt and decode speed, in percent of the measured bandwidth and integer peak."""
    import json
    from dataclasses import asdict

    from pennyweight.api import active_target, find_model
    from pennyweight.cli.measure import Bench
    from pennyweight.cli.terminal import progress_bars, waiting
    from pennyweight.config import Settings
    from pennyweight.kv_format import check_kv_format
    from pennyweight.models.load import load

    settings = Settings.load({"model": model, "threads": threads, "kv_cache_dtype": kv_cache_dtype})
    kv_format = check_kv_format(settings.kv_cache_dtype)
    active_target()
    with progress_bars() as progress:
        path = find_model(settings.model, progress)
        loaded = load(path, kv_format=kv_format, progress=lambda done, total: progress("load", done, total))
    context = loaded.spec.context_length
    wanted = list(lengths) if lengths else [length for length in _LENGTHS if length <= context]
    counts = list(streams or _STREAMS)
    if max(wanted, default=context + 1) > context:
        message = f"{loaded.name} has a context of {context} tokens"
        raise typer.BadParameter(message, param_hint="--length")
    with waiting("Measuring"):
        measured = Bench(loaded, longest=max(wanted), streams=max(counts), threads=settings.threads or 0)
        figures = [measured.prompt(length) for length in wanted]
        figures += [measured.decode(count) for count in counts]
    if as_json:
        report = {"model": loaded.name, "kv_cache_dtype": kv_format, "machine": asdict(measured.machine)}
        print(json.dumps({**report, "figures": [asdict(figure) for figure in figures]}))
    else:
        _print_table(loaded.name, measured.machine, figures)


def _print_table(name: str, machine: Machine, figures: list[Figure]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("", "tokens", "streams", "tokens/s", "bandwidth", "integer peak"):
        table.add_column(column, justify="right" if column else "left")
    for figure in figures:
        table.add_row(
            figure.kind,
            str(figure.length),
            str(figure.streams),
            f"{figure.tokens_per_s:,.0f}",
            f"{figure.bandwidth_share:.0%}",
            f"{figure.peak_share:.0%}",
        )
    console = Console()
    console.print(
        f"{name} on {machine.target}, {machine.threads} threads: "
        f"{machine.bytes_per_s / 1e9:.1f} GB/s, {machine.macs_per_s / 1e9:,.0f} G int8 products/s at most"
    )
    console.print(table)
