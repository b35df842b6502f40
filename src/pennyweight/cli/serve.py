"""`penny serve`: OpenAI's interface over HTTP."""

from __future__ import annotations

import signal
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Alias,
    Context,
    EmbeddingModel,
    Memory,
    Model,
    Parallel,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from starlette.types import ASGIApp

    from pennyweight.api import Engine
    from pennyweight.config import Settings


def serve(
    model: Model = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; by default 8000; 0: any.")] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Key that clients must send; better set as PENNYWEIGHT_API_KEY.")
    ] = None,
    context: Context = None,
    parallel: Parallel = None,
    memory: Memory = None,
    threads: Threads = None,
    embedding_model: EmbeddingModel = None,
    alias: Alias = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name clients call this server by, beside its address; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Origin of web pages that may use this server; may be repeated."),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Serve other machines without a key.")] = False,
) -> None:
    """Serve the model to any OpenAI client."""
    from pennyweight.cli.terminal import notice
    from pennyweight.config import Settings, alias_table

    flags = {
        "model": model,
        "host": host,
        "port": port,
        "api_key": api_key,
        "context": context,
        "parallel": parallel,
        "memory": memory,
        "threads": threads,
        "embedding_model": embedding_model,
        "insecure": insecure or None,
        "aliases": alias_table(alias) if alias else None,
        "allow_hosts": tuple(allow_host) if allow_host else None,
        "allow_origins": tuple(allow_origin) if allow_origin else None,
    }
    settings = Settings.load(flags)
    refuse_open_door(settings)

    from contextlib import ExitStack

    from pennyweight.server import serve as server

    with server.bind(settings.host, settings.port) as listener, ExitStack() as stack:

        def prepare(check: Callable[[], None]) -> ASGIApp:
            app, engine = _prepared(stack, settings, flags, check)
            address = f"http://{_bracketed(settings.host)}:{listener.getsockname()[1]}"
            notice(f"Serving {engine.name} at {address}/v1 (documentation: {address}/docs; Ctrl-C stops)")
            return app

        received = server.serve(listener, prepare=prepare)
    if received is signal.SIGINT:
        raise typer.Exit(130)


def _prepared(
    stack: ExitStack, settings: Settings, flags: Mapping[str, object], check: Callable[[], None]
) -> tuple[ASGIApp, Engine]:
    """The application over an engine that `stack` closes."""
    from pennyweight.cli.session import opened
    from pennyweight.server.app import create_app

    engine = stack.enter_context(opened(flags, check=check))
    if settings.embedding_model is not None:
        engine.encoder.open()
    # The vocabulary is read for grammars while the first clients are on their way.
    Thread(target=engine.answerer.grammars.warm_up, name="pennyweight-grammars", daemon=True).start()
    return create_app(engine, settings), engine


def refuse_open_door(settings: Settings) -> None:
    """Raise ConfigError if other machines could use the server without a key and nobody said they may."""
    from pennyweight.errors import ConfigError

    if settings.api_key is None and not settings.insecure and not is_loopback(settings.host):
        message = (
            f"{settings.host} can be reached from other machines and there is no API key; "
            "give one with --api-key or PENNYWEIGHT_API_KEY, or say --insecure"
        )
        raise ConfigError(message)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name counts by all the addresses it stands for.

    Raises ConfigError if it stands for none.
    """
    import ipaddress
    import socket

    from pennyweight.errors import ConfigError

    try:
        addresses = [entry[4][0] for entry in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError) as error:
        message = f"{host!r} is no address of this machine; choose another --host, such as 127.0.0.1"
        raise ConfigError(message) from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
