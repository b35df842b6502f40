"""`penny serve`: OpenAI's interface over HTTP."""

from __future__ import annotations

import gc
import signal
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import (  # noqa: TC001  typer reads the annotations at run time
    Alias,
    AllowHost,
    AllowOrigin,
    ApiKey,
    Context,
    Data,
    Database,
    ElsewhereModel,
    EmbeddingModel,
    Host,
    Memory,
    Parallel,
    Port,
    ServedHere,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from starlette.types import ASGIApp

    from pennyweight.api import Engine
    from pennyweight.config import Settings
    from pennyweight.encoder import EncoderSlot
    from pennyweight.store.database import Database as OpenDatabase


def serve(
    model: ServedHere = None,
    host: Host = None,
    port: Port = None,
    api_key: ApiKey = None,
    context: Context = None,
    parallel: Parallel = None,
    memory: Memory = None,
    threads: Threads = None,
    embedding_model: EmbeddingModel = None,
    alias: Alias = None,
    upstream: ElsewhereModel = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Serve other machines without a key.")] = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Serve the model to any OpenAI client."""
    from pennyweight.config import alias_table
    from pennyweight.upstreams import upstream_tables

    start(
        {
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
            "data": data,
            "database": database,
            "aliases": alias_table(alias) if alias else None,
            "upstream": upstream_tables(upstream) if upstream else None,
            "allow_hosts": tuple(allow_host) if allow_host else None,
            "allow_origins": tuple(allow_origin) if allow_origin else None,
        }
    )


def start(flags: Mapping[str, object]) -> None:
    """Serve with these settings over those of the file and the environment, until told to stop."""
    from pennyweight.cli.terminal import notice
    from pennyweight.config import Settings

    settings = Settings.load(flags)
    is_open_door(settings)  # a host that is none is told before anything is opened

    from contextlib import ExitStack

    from pennyweight.server import serve as server

    with server.bind(settings.host, settings.port) as listener, ExitStack() as stack:

        def prepare(check: Callable[[], None]) -> ASGIApp:
            app, names = _prepared(stack, settings, flags, check)
            address = f"http://{_bracketed(settings.host)}:{listener.getsockname()[1]}"
            notice(f"Serving {names} at {address}/v1 (documentation: {address}/docs; Ctrl-C stops)")
            if settings.record:
                notice("Keeping every chat and response that does not say otherwise")
            return app

        received = server.serve(listener, prepare=prepare)
    if received is signal.SIGINT:
        raise typer.Exit(130)


def _prepared(
    stack: ExitStack, settings: Settings, flags: Mapping[str, object], check: Callable[[], None]
) -> tuple[ASGIApp, str]:
    """The application over a store and an engine that `stack` closes, and the names of what it serves."""
    from pennyweight.config import NO_MODEL
    from pennyweight.server.app import create_app, working
    from pennyweight.server.services import open_services

    services = stack.enter_context(open_services(settings))
    if is_open_door(settings):
        refuse_without_keys(services.database, settings.host)
    names = list(settings.upstream)
    if settings.model == NO_MODEL:
        app = create_app(None, settings, services, encoder=_encoder(stack, settings, check))
    else:
        engine = _engine(stack, settings, flags, check)
        app = create_app(engine, settings, services)
        names.insert(0, engine.name)
    stack.enter_context(working(app))
    return app, ", ".join(names) or "embeddings"


def _engine(
    stack: ExitStack, settings: Settings, flags: Mapping[str, object], check: Callable[[], None]
) -> Engine:
    from pennyweight.cli.session import opened

    engine = stack.enter_context(opened(flags, check=check, embedding_model=settings.embedding_model))
    Thread(target=_settle, args=(engine,), name="pennyweight-grammars", daemon=True).start()
    return engine


def _settle(engine: Engine) -> None:
    """Read the vocabulary for grammars while the first clients come; give back what the start freed."""
    from pennyweight.native import _native

    engine.answerer.grammars.warm_up()
    _native.release_free_memory()


def _encoder(stack: ExitStack, settings: Settings, check: Callable[[], None]) -> EncoderSlot:
    """The encoder of a server without an engine."""
    from pennyweight.cli.terminal import progress_bars
    from pennyweight.encoder import EncoderSlot

    gc.enable()  # as after an engine is opened
    encoder = EncoderSlot(settings.embedding_model, threads=settings.threads)
    stack.callback(encoder.close)
    if settings.embedding_model is None:
        return encoder
    with progress_bars() as show:

        def progress(done: int, total: int) -> None:
            check()
            show("encoder", done, total)

        encoder.open(progress=progress)
    return encoder


def is_open_door(settings: Settings) -> bool:
    """Whether other machines reach the server, no key was given with the settings, and nobody said they may.

    Raises ConfigError for a host that is none.
    """
    return settings.api_key is None and not settings.insecure and not is_loopback(settings.host)


def refuse_without_keys(database: OpenDatabase, host: str) -> None:
    """Raise ConfigError if no key was ever created: then everybody could use the server."""
    from pennyweight.errors import ConfigError
    from pennyweight.store.keys import Keys

    if not database.read_now(Keys().any):
        message = (
            f"{host} can be reached from other machines and there is no API key; make one with "
            "`penny keys create`, give one with --api-key or PENNYWEIGHT_API_KEY, or say --insecure"
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
