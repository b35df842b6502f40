"""`penny record`: pass requests on to a service elsewhere and keep the traffic, to learn from it later."""

from __future__ import annotations

from typing import Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Alias,
    ApiKey,
    Data,
    Database,
    ElsewhereModel,
    Host,
    Port,
    ServedHere,
)


def record(
    upstream: ElsewhereModel = None,
    consent: Annotated[
        bool, typer.Option("--consent", help="Those who ask know that questions and answers are kept.")
    ] = False,
    redact: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="Python function that takes out what must not be kept; see docs."
        ),
    ] = None,
    model: ServedHere = None,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    alias: Alias = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Pass chats and responses on to another service and keep them, to learn from later."""
    from pennyweight.cli.serve import model_flags, start
    from pennyweight.config import NO_MODEL, alias_table
    from pennyweight.errors import ConfigError
    from pennyweight.upstreams import upstream_tables

    if not consent:
        raise ConfigError(
            "penny record keeps what people ask and are answered; give --consent if they know and agree"
        )
    start(
        {
            "record": True,
            "redact": redact,
            **model_flags(model or [NO_MODEL]),
            "host": host,
            "port": port,
            "api_key": api_key,
            "aliases": alias_table(alias) if alias else None,
            "upstream": upstream_tables(upstream) if upstream else None,
            "data": data,
            "database": database,
        }
    )
